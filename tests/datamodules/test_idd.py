"""IDD's layout: both parts at once, polygons or ready masks, and one conf file for two tasks."""

import shutil

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.masks import polygon_mask
from datamodules.idd import IDDDataModule
from datamodules.object_crops import ObjectCropDataModule
from label_spaces.catalogue import load


@pytest.fixture
def make(settings):
    def make(*roots, **keys):
        root = str(roots[0]) if len(roots) == 1 else [str(root) for root in roots]
        module = IDDDataModule(settings(**{"root": root, "label_space": "idd_level3", **keys}))
        module.prepare_training()
        return module

    return make


def test_both_parts_are_one_dataset(idd, make):
    one, two = idd("one", ".png"), idd("two", ".jpg", first=100)
    module = make(one, two)
    assert {split: len(module.indices(split)) for split in ("train", "select", "val")} == {
        "train": 36, "select": 4, "val": 4,
    }  # fmt: skip
    assert len(module.without_truth) == 4
    names = {sample.name for sample in module.table.samples}
    assert {"leftImg8bit/val/50/0_leftImg8bit.png", "leftImg8bit/val/150/1_leftImg8bit.jpg"} <= names
    expected = polygon_mask(two / "gtFine/val/150/1_gtFine_polygons.json", load("idd_level3"))
    for batch in module.evaluation_dataloader("val"):
        for target in batch["target"]:
            np.testing.assert_array_equal(target, expected)
    assert make(two, one).table.sha256() == module.table.sha256()
    assert make(one).table.sha256() != module.table.sha256()


def test_both_parts_can_be_read_from_copies_of_their_own(idd, make, tmp_path):
    roots = idd("one", ".png"), idd("two", ".jpg", first=100)
    plain, module = make(*roots), make(*roots, stage=str(tmp_path / "disk"))
    assert module.table.sha256() == plain.table.sha256()
    assert module.contents == plain.contents
    assert {root.parent for root in module.roots} == {tmp_path / "disk"}
    assert module.sources == plain.roots == roots
    for name in module.names:
        assert module.file(name).is_relative_to(tmp_path / "disk")
        assert module.file(name).read_bytes() == plain.file(name).read_bytes()
        np.testing.assert_array_equal(module.read_mask(name), plain.read_mask(name))


def test_a_drive_of_both_parts_is_one_drive(idd, make):
    one, two = idd("one", ".png"), idd("two", ".jpg", first=100)
    for kind in ("leftImg8bit", "gtFine"):
        (two / kind / "train/100").rename(two / kind / "val/0")  # drive 0 is in the first part's train
    with pytest.raises(DatasetError, match=r"leftImg8bit/train/0/0_leftImg8bit\.png: drive 0 is in train and val"):
        make(one, two)
    fractions = make(one, two, split={"train": 0.7, "val": 0.1, "test": 0.2})
    assert len({sample.split for sample in fractions.table.samples if sample.group == "0"}) == 1


def test_a_frame_in_both_roots_is_refused(idd, make):
    one, two = idd("one", ".png"), idd("two", ".jpg")
    with pytest.raises(
        DatasetError, match=r"22 frames are in more than one of these folders, such as gtFine/train/0/0_gtFine_pol"
    ):
        make(one, two)


@pytest.mark.parametrize(("name", "classes"), [("idd_level2", 16), ("idd_level1", 7), ("idd_cityscapes18", 18)])
def test_masks_are_of_any_label_space(idd, make, name, classes):
    module = make(idd(), label_space=name)
    assert module.label_space.num_classes == classes
    batch = next(iter(module.evaluation_dataloader("val")))
    expected = polygon_mask(module.root / "gtFine/val/50/0_gtFine_polygons.json", load(name))
    np.testing.assert_array_equal(batch["target"][0], expected)


@pytest.mark.parametrize(
    ("name", "ending"),
    [("idd_level3", "labellevel3Ids"), ("idd_level1", "labellevel1Ids"), ("idd_cityscapes18", "labelcsTrainIds"), ("idd_lite", "label_idd_lite_Ids")],
)  # fmt: skip
def test_predicted_masks_are_called_as_the_server_wants_them(idd, make, name, ending):
    module = make(idd("one", ".png"), idd("two", ".jpg", first=100), label_space=name)
    assert sorted(module.prediction_files("val").values()) == [
        f"{drive}/{frame}_gtFine_{ending}.png" for drive in (150, 50) for frame in (0, 1)
    ]
    assert module.only_predict("test")
    assert sorted(module.prediction_files("test").values()) == [
        f"{drive}/{frame}_gtFine_{ending}.png" for drive in (160, 60) for frame in (0, 1)
    ]


@pytest.mark.parametrize(("name", "word"), [("idd_level3", "level3"), ("idd_cityscapes19", "csTrain")])
def test_ready_masks_are_read_where_they_are_asked_for(idd, make, name, word):
    root, space = idd(), load(name)
    drawn = make(root, label_space=name)
    for path in (root / "gtFine").rglob("*_polygons.json"):
        ids = np.array([*space.ids, 255], np.uint8)[polygon_mask(path, space)]
        Image.fromarray(ids).save(str(path).replace("_polygons.json", f"_label{word}Ids.png"))
        path.unlink()
    ready = make(root, label_space=name, masks="files")
    assert ready.table.samples == drawn.table.samples
    assert ready.counts() == drawn.counts()
    with pytest.raises(DatasetError, match=r"no ready masks for data\.label_space=idd_lite, only for idd_level3, "):
        make(root, label_space="idd_lite", masks="files")
    with pytest.raises(DatasetError, match=r"data\.masks=coco: .* has polygons or files\. .* data=mask_folder"):
        make(root, masks="coco")


def test_unknown_labels_are_all_named_before_anything_is_used(idd, make):
    root = idd()
    broken = ["gtFine/train/2/1_gtFine_polygons.json", "gtFine/val/50/0_gtFine_polygons.json"]
    for name in broken:
        (root / name).write_text((root / name).read_text().replace('"car"', '"spaceship"'))
    with pytest.raises(DatasetError, match="it has the label 'spaceship', which idd_level3 does not have") as refusal:
        make(root)
    assert all(name in str(refusal.value) for name in broken)
    skipping = make(root, on_corrupt="skip")
    assert len(skipping.skipped) == 2
    assert len(skipping.table) == 20


def test_a_root_of_something_else_is_told_what_is_expected(tmp_path, make):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DatasetError, match=r"expected leftImg8bit/train/<drive>/<frame>\(_leftImg8bit.jpg\|_leftImg8bit.png\)"
    ):
        make(tmp_path / "empty")


def test_crops_are_cut_from_both_parts(tmp_path, settings):
    from tests.datamodules.test_object_crops import DRIVES, FEW, crops, make_dataset

    one = make_dataset(tmp_path / "one")
    two = tmp_path / "two"
    for kind in ("leftImg8bit", "gtFine"):
        (two / kind / "train").mkdir(parents=True)
        for drive in sorted((one / kind / "train").iterdir())[:4]:
            shutil.move(drive, two / kind / "train" / drive.name)
    both = ObjectCropDataModule(
        settings(name="idd", root=[str(one), str(two)], split={"train": 0.6, "val": 0.2, "test": 0.2}), rules=FEW
    )
    both.prepare_training()
    assert len({sample.group for sample in both.table.samples}) == DRIVES
    alone = crops(make_dataset(tmp_path / "all"))
    alone.prepare_training()
    assert both.table.sha256() == alone.table.sha256()
    for index, sample in enumerate(both.table.samples[:12]):
        np.testing.assert_array_equal(both.read(sample.name), alone.read(sample.name))
        features = [module.baseline_features(sample.split, [index])["box_size"] for module in (both, alone)]
        np.testing.assert_array_equal(*features)


def test_what_becomes_of_riders_is_no_question_of_masks(idd, make):
    with pytest.raises(DatasetError, match=r"data\.riders=merge is about crops of objects.*Leave it out"):
        make(idd("one", ".png"), riders="merge")


def test_a_name_that_is_too_long_for_a_predicted_mask_is_refused(idd, make):
    root = idd()
    for kind in ("leftImg8bit", "gtFine"):
        for path in sorted((root / kind / "val").rglob("0_*")):
            path.rename(path.with_name("x" * 230 + path.name))
    with pytest.raises(
        DatasetError, match=r"1 frames of val would have names of more than 255 bytes, such as \S+Ids.png; rename"
    ):
        make(root).prediction_files("val")
