"""From typing to a checked configuration, without training anything."""

import re
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from datamodules.errors import DatasetError
from entry.build.modules import data_settings
from entry.config.resolve import of_run, resolved, to_yaml
from entry.errors import RequestError
from entry.request import PROJECT, Request
from run_folder import RunFolder, RunFolderError


def request(tmp_path: Path, *overrides: str, name: str = "train") -> Request:
    OmegaConf.register_new_resolver("project", lambda path: str(PROJECT / path), replace=True)
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        config = compose(name, overrides=list(overrides))
    return Request(config=config, overrides=overrides, folder=tmp_path / "run", folder_was_typed=False)


@pytest.fixture
def run(tmp_path):
    """A run folder that holds a configuration."""
    folder = RunFolder(tmp_path / "runs" / "one")
    folder.claim(
        to_yaml(resolved(request(tmp_path, "data=image_folder", f"data.root={tmp_path}", "trainer.max_epochs=3"))), []
    )
    return folder


def test_everything_is_plain_and_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolved(
        request(tmp_path, "data=image_folder", "data.root=pictures", "data.split=parts.csv", "model.weights=w.pt")
    )
    assert config["data"]["root"] == str(tmp_path / "pictures")
    assert config["data"]["split"] == str(tmp_path / "parts.csv")
    assert config["model"]["weights"] == str(tmp_path / "w.pt")
    assert yaml.safe_load(to_yaml(config)) == config
    assert "${" not in to_yaml(config)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["data=image_folder"], r"data\.root is missing. Type it: data\.root="),
        (["seed=-1"], "seed=-1: must be a whole number of 0 or more"),
        (["seed=x"], "seed=x: must be a whole number"),
        (["trainer.max_epochs=0"], r"trainer\.max_epochs=0: must be a whole number of 1 or more"),
        (["trainer.limit_batches=0.5"], r"trainer\.limit_batches=0\.5: must be .* or null"),
        (["optimizer.lr=0"], r"optimizer\.lr=0: must be a number above 0"),
        (["trainer.deterministic=maybe"], r"trainer\.deterministic=maybe: must be true or false"),
        (["data.batch_size=10", "trainer.accumulate=4"], r"data\.batch_size=10 does not divide by trainer\.accumulate=4"),
        (["trainer.devices=0"], r"trainer\.devices=0: must be a whole number of 1 or more"),
        (["checkpointing.every_minutes=0"], r"checkpointing\.every_minutes=0: must be a number above 0 or null"),
        (["checkpointing.keep=-1"], r"checkpointing\.keep=-1: must be a whole number of 0 or more"),
        (["report.region_sizes=maybe"], r"report\.region_sizes=maybe: must be true or false"),
        (["report.region_sizes=true"], r"report\.region_sizes=true parts the pixels of masks, and the run classifies"),
        (["ema.decay=1.0"], r"ema\.decay=1\.0: must be a number above 0 and below 1 or null"),
        (["ema.decay=-1"], r"ema\.decay=-1: must be a number above 0 and below 1"),
        (["ema.decay=abc"], r"ema\.decay=abc: must be a number above 0 and below 1"),
        (["ema=0.9"], r"ema=0\.9: it is not one value but has some below it: ema\.decay\."),
        (["checkpointing=3"], r"it is not one value but has some below it: checkpointing\.every_n_steps, "),
        (["early_stopping=3"], r"early_stopping=3: it is not one value"),
        (["loss=ohem"], r"loss=ohem: it is not one value but has some below it: loss\.name"),
        (["ema.decay=0.9", "trainer.precision=bf16-true"], "trainer.precision=bf16-mixed, not bf16-true"),
        (["aug=flip_rotate", "aug.rotation=-5"], r"aug\.rotation=-5: must be a number of degrees from 0 to 180"),
        (["aug=flip_rotate", "aug.rotation=180.5"], r"aug\.rotation=180\.5: must be a number of degrees from 0 to 180"),
        (["aug=flip_rotate", "aug.rotation=nan"], r"aug\.rotation=nan: must be a number of degrees"),
        (["aug=flip_rotate", "aug.rotation=true"], r"aug\.rotation=True: must be a number of degrees"),
        (["aug=flip_rotate", "aug.rotation=[-5,5]"], r"aug\.rotation=\[-5, 5\]: must be a number of degrees"),
        (["+speed=3"], "There is no key 'speed'"),
        (["+trainer.max_steps=3"], r"There is no key 'trainer\.max_steps'"),
        (["+loss.gamma=2"], r"There is no key 'loss\.gamma'"),
        (["logger.name=foo"], r"logger\.name=foo: must be csv, tensorboard or wandb"),
        (["seed=${nothing}"], "The configuration cannot be resolved: Interpolation key 'nothing' not found"),
        (["lightning_module.targets=null"], "The configuration cannot be resolved: .*targets"),
        (["seed=null"], "seed=null: must be a whole number"),
        (["seed=4294967296"], "seed=4294967296: must be at most 4294967295"),
        (["optimizer.lr=inf"], r"optimizer\.lr=inf: must be a number above 0"),
        (["optimizer.lr=true"], r"optimizer\.lr=true: must be a number above 0"),
        (["trainer.gradient_clip=abc"], r"trainer\.gradient_clip=abc: must be a number above 0 or null"),
        (["trainer.gradient_clip=-1"], r"trainer\.gradient_clip=-1: must be a number above 0 or null"),
        (["trainer.gradient_clip=nan"], r"trainer\.gradient_clip=nan: must be a number above 0 or null"),
        (["trainer.channels_last=abc"], r"trainer\.channels_last=abc: must be true or false"),
        (["trainer.sync_batchnorm=1"], r"trainer\.sync_batchnorm=1: must be true or false"),
        (["trainer.progress=no"], r"trainer\.progress=no: must be auto, true or false"),
        (["loss.auxiliary=abc"], r"loss\.auxiliary=abc: must be a number of 0 or more"),
        (["loss.auxiliary=nan"], r"loss\.auxiliary=nan: must be a number of 0 or more"),
        (["loss.label_smoothing=-0.1"], r"loss\.label_smoothing=-0\.1: must be a number from 0 to 1"),
        (["loss.label_smoothing=2"], r"loss\.label_smoothing=2: must be a number from 0 to 1"),
        (["loss.label_smoothing=[0.1]"], r"loss\.label_smoothing=\[0\.1\]: must be a number from 0 to 1"),
        (["early_stopping.min_delta=null"], r"early_stopping\.min_delta=null: must be a number of 0 or more"),
        (["early_stopping.min_delta=abc"], r"early_stopping\.min_delta=abc: must be a number of 0 or more"),
        (["checkpointing.every_minutes=nan"], r"checkpointing\.every_minutes=nan: must be a number above 0 or null"),
        (["report.train_eval=null"], r"report\.train_eval=null: must be true or false"),
        (["model.partial=1"], r"model\.partial=1: must be true or false"),
        (["model.weights=null"], r"model\.weights=null: must be auto, none, imagenet, coco_voc or the path of a checkpoint"),
        (["model.weights="], r"model\.weights=: must be auto, none"),
        (["model.task=segmentation", "data=image_folder", "data.root=x"], "does segmentation, but data=image_folder serves classification. Models that fit: custom_cnn, resnet18"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_by_name(tmp_path, typed, says):
    with pytest.raises(RequestError, match=says):
        resolved(request(tmp_path, *typed))


@pytest.mark.parametrize("size", ["abc", "[32]", "null", "1.5", "nan"])
def test_a_batch_size_that_is_no_number_is_told_by_its_room(tmp_path, size):
    config = resolved(request(tmp_path, f"data.batch_size={size}", "trainer.accumulate=2"))
    with pytest.raises(DatasetError, match=rf"data\.batch_size={re.escape(size)}: give a whole number of at least 1"):
        data_settings(config)


def test_an_empty_root_is_not_the_folder_where_somebody_is(tmp_path):
    with pytest.raises(DatasetError, match=r"data\.root=: "):
        data_settings(resolved(request(tmp_path, "data=image_folder", "data.root=")))


def test_a_run_of_an_earlier_version_need_not_have_a_key(tmp_path, run):
    config = yaml.safe_load(run.config.read_text())
    del config["model"]["partial"], config["trainer"]["progress"], config["loss"]["auxiliary"]
    run.config.write_text(to_yaml(config))
    of_run(request(tmp_path, f"run={run.path}", name="evaluate"))


@pytest.mark.parametrize("degrees", ["0", "22.5", "180"])
def test_legal_rotations(tmp_path, degrees):
    config = resolved(request(tmp_path, "aug=flip_rotate", f"aug.rotation={degrees}"))
    assert config["aug"]["transform"]["transforms"][2]["limit"] == float(degrees)


def test_an_augmentation_of_ones_own_may_mean_something_else_by_rotation(tmp_path):
    assert resolved(request(tmp_path, "+aug.rotation=[-5,10]"))["aug"]["rotation"] == [-5, 10]


FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.mark.parametrize(
    ("data", "task", "target", "split"),
    [
        ("synthetic_idd", "classification", "SyntheticIDDCrops", FRACTIONS),
        ("synthetic_idd", "segmentation", "SyntheticIDDFrames", "official"),
        ("idd", "classification", "ObjectCropDataModule", FRACTIONS),
        ("idd", "segmentation", "IDDDataModule", "official"),
        ("idd_lite", "segmentation", "IDDLiteDataModule", "official"),
        ("mask_folder", "segmentation", "MaskFolderDataModule", FRACTIONS),
        ("image_folder", "classification", "ImageFolderDataModule", FRACTIONS),
    ],
)
def test_a_dataset_has_its_own_values_for_each_task(tmp_path, data, task, target, split):
    def composed(*typed):
        asked = request(tmp_path, f"data={data}", f"model.task={task}", f"data.root={tmp_path}", *typed)
        return OmegaConf.to_container(asked.config.data, resolve=True)

    plain = composed()
    settings = data_settings({"data": plain})
    assert plain["_target_"].endswith(f".{target}")
    assert settings.split == split
    assert settings.split_by == ("group" if "idd" in data else "sample")
    typed = ["data.image_size=[32,48]", "data.split={train: 0.5, val: 0.25, test: 0.25}", "data.batch_size=3"]
    changed = data_settings({"data": composed(*typed)})
    assert (changed.image_size, changed.split["train"], changed.batch_size) == ((32, 48), 0.5, 3)
    of_recipe = data_settings({"data": composed("experiment=q2_custom_cnn")}) if task == "classification" else None
    assert of_recipe is None or of_recipe.split == FRACTIONS


def test_several_roots_and_a_label_space_file_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolved(request(tmp_path, "data=idd", "data.root=[one,two]", "data.label_space=my.csv"))
    assert config["data"]["root"] == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert config["data"]["label_space"] == str(tmp_path / "my.csv")


def test_a_typed_key_replaces_the_runs_own_and_nothing_else(tmp_path, run):
    before = yaml.safe_load(run.config.read_text())
    folder, config = of_run(
        request(tmp_path, f"run={run.path}", "data.eval_batch_size=7", "split=val", name="evaluate")
    )
    assert folder.path == run.path
    assert config.pop("data") == {**before.pop("data"), "eval_batch_size": 7}
    assert config == before
    assert config["trainer"]["max_epochs"] == 3


def test_a_typed_group_replaces_its_subtree(tmp_path, run):
    _, config = of_run(request(tmp_path, f"run={run.path}", "trainer=cpu", "trainer.threads=1", name="evaluate"))
    assert (config["trainer"]["accelerator"], config["trainer"]["threads"], config["trainer"]["max_epochs"]) == (
        "cpu",
        1,
        10,
    )


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("model=resnet18", "model= makes no sense with run="),
        ("model.weights=none", r"model\.weights= makes no sense with run="),
        (
            "data=synthetic_idd",
            "data=synthetic_idd makes no sense with run= or resume=: the run was made on image_folder",
        ),
        ("+trainer.speed=3", "can be replaced, not added"),
    ],
)
def test_what_makes_no_sense_with_a_run_is_refused(tmp_path, run, typed, says):
    with pytest.raises(RequestError, match=says):
        of_run(request(tmp_path, f"run={run.path}", typed, name="evaluate"))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no such folder"):
        of_run(request(tmp_path, f"run={tmp_path / 'absent'}", name="evaluate"))
    with pytest.raises(RequestError, match="run is missing"):
        of_run(request(tmp_path, name="evaluate"))


@pytest.mark.parametrize("group", ["data", "model", "aug", "optimizer", "scheduler", "trainer", "logger", "experiment"])
def test_every_shipped_option_composes(tmp_path, group):
    options = [path.stem for path in (PROJECT / "conf" / group).glob("*.yaml")]
    assert options
    segments = ["model=deeplabv3_mobilenet_v3_large"]
    needs = {
        "image_folder": [],
        "idd": [],
        "idd_lite": segments,
        "mask_folder": segments,
        "idd_lite_deeplabv3": [],
        "q3_deeplabv3_voc_on_idd": [],
    }
    for option in options:
        typed = [f"{group}={option}", *([f"data.root={tmp_path}", *needs[option]] if option in needs else [])]
        assert resolved(request(tmp_path, *typed))["data"]["root"]
