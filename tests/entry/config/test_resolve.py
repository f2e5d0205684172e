"""From typing to a checked configuration, without training anything."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from entry.config.resolve import resolved
from entry.errors import REQUEST_ERRORS
from entry.request import PROJECT, Request


def request(tmp_path: Path, *overrides: str, name: str = "train") -> Request:
    OmegaConf.register_new_resolver("project", lambda path: str(PROJECT / path), replace=True)
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        config = compose(name, overrides=list(overrides))
    return Request(config=config, overrides=overrides, folder=tmp_path / "run", folder_was_typed=False)


def test_everything_is_plain_and_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pictures", "parts.csv", "w.pt"):
        (tmp_path / name).touch()
    settings = resolved(
        request(tmp_path, "data=image_folder", "data.root=pictures", "data.split=parts.csv", "model.weights=w.pt")
    )
    assert settings.data.root == str(tmp_path / "pictures")
    assert settings.data.split == str(tmp_path / "parts.csv")
    assert settings.model.weights == str(tmp_path / "w.pt")
    assert "${" not in settings.to_yaml()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["data=image_folder"], r"data\.root is missing. Type it: data\.root="),
        (["seed=${nothing}"], "The configuration cannot be resolved: Interpolation key 'nothing' not found"),
        (["lightning_module.targets=null"], "The configuration cannot be resolved: .*targets"),
        (["seed=-1"], "seed=-1: must be a whole number of at least 0"),
        (["+trainer.max_time=3"], r"There is no key 'trainer\.max_time'"),
        (["data=image_folder", "data.root="], r"data\.root=: must be a folder"),
        (["aug=flip_rotate", "aug.rotation=180.5"], r"aug\.rotation=180\.5: must be a number of degrees from 0 to 180"),
        (["data.split=official", "data.folds=5", "data.fold=0"], r"data\.folds=5 deals the samples .*, and data\.split=official"),
        (["model.task=segmentation", "data=image_folder", "data.root=x"], "does segmentation, but data=image_folder serves classification. Models that fit: custom_cnn, resnet18"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_by_name(tmp_path, typed, message):
    with pytest.raises(ValueError, match=message) as refusal:
        resolved(request(tmp_path, *typed))
    assert isinstance(refusal.value, REQUEST_ERRORS)


def test_folds_need_not_be_told_about_the_official_split_that_is_a_default(tmp_path):
    typed = ("model=deeplabv3_mobilenet_v3_large", "data=synthetic_idd", "data.folds=5", "data.fold=4")
    settings = resolved(request(tmp_path, *typed))
    assert (settings.data.split, settings.data.folds, settings.data.fold) == ("official", 5, 4)


@pytest.mark.parametrize("degrees", ["0", "22.5", "180"])
def test_legal_rotations(tmp_path, degrees):
    settings = resolved(request(tmp_path, "aug=flip_rotate", f"aug.rotation={degrees}"))
    assert settings.aug.to_dict()["transform"]["transforms"][2]["limit"] == float(degrees)


def test_packages_that_this_command_line_allows_are_not_written_into_the_run(tmp_path):
    asked = request(tmp_path, "allow=[numpy]")
    assert asked.allow == ("numpy",)
    assert "allow" not in resolved(asked).to_dict()


def test_several_roots_and_a_label_space_file_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "my.csv"):
        (tmp_path / name).touch()
    segments = "model=deeplabv3_mobilenet_v3_large"
    data = resolved(request(tmp_path, "data=idd", segments, "data.root=[one,two]", "data.label_space=my.csv")).data
    assert data.root == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert data.label_space == str(tmp_path / "my.csv")


FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.mark.parametrize(
    ("data", "task", "target", "split"),
    [
        ("synthetic_idd", "classification", "SyntheticIDDCrops", FRACTIONS),
        ("synthetic_idd", "segmentation", "SyntheticIDDFrames", "official"),
        ("idd", "classification", "ObjectCropDataModule", FRACTIONS),
        ("idd", "segmentation", "IDDDataModule", "official"),
        ("idd_lite", "segmentation", "IDDLiteDataModule", "official"),
        ("idd_aw", "segmentation", "IDDAWDataModule", "official"),
        ("cityscapes", "segmentation", "CityscapesDataModule", "official"),
        ("mask_folder", "segmentation", "MaskFolderDataModule", FRACTIONS),
        ("image_folder", "classification", "ImageFolderDataModule", FRACTIONS),
    ],
)
def test_a_dataset_has_its_own_values_for_each_task(tmp_path, data, task, target, split):
    def composed(*typed):
        asked = request(tmp_path, f"data={data}", f"model.task={task}", f"data.root={tmp_path}", *typed)
        return resolved(asked).data

    plain = composed()
    assert plain.target.endswith(f".{target}")
    assert (plain.split if isinstance(plain.split, str) else plain.split.to_dict()) == split
    assert plain.split_by == ("group" if "idd" in data or data == "cityscapes" else "sample")
    changed = composed("data.image_size=[32,48]", "data.split={train: 0.5, val: 0.25, test: 0.25}", "data.batch_size=3")
    assert (changed.image_size, changed.split.train, changed.batch_size) == ((32, 48), 0.5, 3)
    if task == "classification":
        assert composed("experiment=q2_custom_cnn").split.to_dict() == FRACTIONS


@pytest.mark.parametrize(
    "group", ["data", "model", "loss", "aug", "optimizer", "scheduler", "callbacks", "trainer", "logger", "experiment"]
)
def test_every_shipped_option_composes(tmp_path, group):
    options = [path.stem for path in (PROJECT / "conf" / group).glob("*.yaml")]
    assert options
    segments = ["model=deeplabv3_mobilenet_v3_large"]
    needs = {
        "image_folder": [],
        "idd": [],
        "idd_lite": segments,
        "idd_aw": segments,
        "cityscapes": segments,
        "mask_folder": segments,
        "idd_lite_deeplabv3": [],
        "finetune_lite0": [],
        "idd_level3": [],
        "idd_lite_gpu": [],
        "idd_lite_scratch": [],
        "q3_deeplabv3_voc_on_idd": [],
    }
    for option in options:
        typed = [f"{group}={option}", *([f"data.root={tmp_path}", *needs[option]] if option in needs else [])]
        assert resolved(request(tmp_path, *typed)).data.root
