"""A user's images and masks, without code: names in conf or a CSV, ids or colours, fractions or folders."""

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.mask_folder import MaskFolderDataModule
from label_spaces.space import LabelSpaceError
from tests.datamodules.conftest import SIZE, picture

PALETTE = np.array([[128, 64, 128], [70, 130, 180], [0, 0, 0]], np.uint8)  # road, sky, no class
TABLE = "name,id,red,green,blue\nroad,0,128,64,128\nsky,1,70,130,180\n"


def ids_of(number):
    ids = np.zeros(SIZE, np.uint8)
    ids[: 6 + number % 9] = 1
    ids[-3:, :5] = 255
    return ids


def make_root(root, count=20, folder=lambda number: "", mask=Image.fromarray, ending=".jpg"):
    for number in range(count):
        ids = ids_of(number)
        pixels = picture(ids)
        pixels[..., 2] = 10 * number  # JPEG takes neighbouring ids for the same
        for kind, image, suffix in (("images", Image.fromarray(pixels), ending), ("masks", mask(ids), ".png")):
            path = root / kind / folder(number) / f"street {number:02}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    return root


@pytest.fixture
def make(settings):
    def make(root, **keys):
        fractions = {"train": 0.7, "val": 0.1, "test": 0.2}
        defaults = {"root": str(root), "split": fractions, "split_by": "sample", "classes": ["road", "sky"]}
        module = MaskFolderDataModule(settings(**defaults | keys))
        module.prepare_training()
        return module

    return make


def check(module):
    for part in ("train", "val", "test"):
        for batch in module.evaluation_dataloader(part):
            for index, mask in zip(batch["index"], batch["target"], strict=True):
                ids = ids_of(int(module.table.samples[index].name[-6:-4]))
                np.testing.assert_array_equal(mask, np.where(ids == 255, 2, ids))


def test_names_are_enough(tmp_path, make):
    module = make(make_root(tmp_path / "mine"))
    assert {split: len(module.indices(split)) for split in ("train", "val", "test")} == {
        "train": 14,
        "val": 2,
        "test": 4,
    }
    assert module.label_space.classes == ("road", "sky")
    assert (module.selection_split, module.closing_split) == ("val", "test")
    assert module.table.samples[0].name == "images/street 00.jpg"
    check(module)


@pytest.mark.parametrize("kind", ["ids", "colours"])
def test_a_csv_names_ids_and_colours_and_which_it_is_is_said(tmp_path, make, kind):
    (tmp_path / "mine.csv").write_text(
        TABLE + "" if kind == "colours" else "name,id,void\nroad,0,no\nsky,1,no\nnone,255,yes\n"
    )

    def mask(ids):
        return Image.fromarray(ids if kind == "ids" else PALETTE[np.where(ids == 255, 2, ids)])

    module = make(
        make_root(tmp_path / "mine", mask=mask, ending=".png"), classes=None, label_space=str(tmp_path / "mine.csv")
    )
    assert module.label_space.name == "mine"
    check(module)
    assert f"Masks hold the {kind} of mine: found in masks/street 00.png." in module.notes


def test_ready_folders(tmp_path, make):
    def folder(number):
        return "train/a" if number < 14 else "val"

    root = make_root(tmp_path / "mine", folder=folder)
    module = make(root, split="folders")
    assert {split: len(module.indices(split)) for split in ("train", "select", "val")} == {
        "train": 13,
        "select": 1,
        "val": 6,
    }
    assert (module.selection_split, module.closing_split) == ("select", "val")
    (root / "images/test").mkdir()
    Image.new("RGB", (36, 24)).save(root / "images/test/new.png")
    module = make(root, split="folders")
    assert [pair.name for pair in module.without_truth] == ["images/test/new.png"]
    assert module.only_predict("test")
    assert list(module.prediction_files("test").values()) == ["test/new.png"]
    with pytest.raises(DatasetError, match=r"holds ready folders \(test, train, val\); add data\.split=folders"):
        make(root)


def test_folds_pool_ready_folders_and_what_has_no_truth_stays_out(tmp_path, make):
    root = make_root(tmp_path / "mine", folder=lambda number: "train" if number < 14 else "val")
    (root / "images/test").mkdir()
    Image.fromarray(picture(ids_of(3))).save(root / "images/test/no mask.jpg")
    tested = []
    for fold in range(4):
        module = make(root, folds=4, fold=fold)
        assert {split: len(module.indices(split)) for split in ("train", "val", "test")} == {
            "train": 14,
            "val": 1,
            "test": 5,
        }
        assert [pair.name for pair in module.without_truth] == ["images/test/no mask.jpg"]
        assert not module.only_predict("test")
        assert "data.folds=4: the 20 samples of all splits of the dataset are dealt to folds." in module.notes
        tested += [module.names[index] for index in module.indices("test")]
    assert sorted(tested) == sorted(module.names)


def test_a_csv_splits(tmp_path, make):
    root = make_root(tmp_path / "mine", count=6)
    rows = [f"images/street {n:02}.jpg,{split}" for n, split in enumerate(["train"] * 3 + ["val", "test", "test"])]
    (tmp_path / "split.csv").write_text("\n".join(["sample,split", *rows]))
    module = make(root, split=str(tmp_path / "split.csv"))
    assert [sample.split for sample in module.table.samples] == ["train"] * 3 + ["val", "test", "test"]


def test_what_does_not_match_is_named(tmp_path, make):
    root = make_root(tmp_path / "mine")
    (root / "masks/street 03.png").unlink()
    (root / "images/street 05.jpg").unlink()
    Image.new("RGB", (36, 24)).save(root / "images/street 07.png")
    with pytest.raises(DatasetError, match="4 of 21 frames") as refusal:
        make(root)
    for words in (
        r"images/street 03.jpg: has no mask masks/street 03.(png|…)",
        "masks/street 05.png: has no image images/street 05.(jpg|png|…)",
        "images/street 07.jpg: there are several files of this name: street 07.jpg, street 07.png",
        "images/street 07.png: there are several files of this name: street 07.jpg, street 07.png",
    ):
        assert words in str(refusal.value)
    assert len(make(root, on_corrupt="skip").table) == 17


def test_a_first_mask_that_is_broken_is_a_finding_like_others(tmp_path, make):
    (tmp_path / "mine.csv").write_text("name,id,void\nroad,0,no\nsky,1,no\nnone,255,yes\n")
    root = make_root(tmp_path / "mine")
    for number in (0, 1):
        (root / f"masks/street {number:02}.png").write_text("no image")
    keys = {"classes": None, "label_space": str(tmp_path / "mine.csv")}
    with pytest.raises(DatasetError, match="2 of 20 frames"):
        make(root, **keys)
    assert "Masks hold the ids of mine: found in masks/street 02.png." in make(root, on_corrupt="skip", **keys).notes


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"classes": None}, r"needs to know its classes: type data\.classes=\[road,sky\]"),
        ({"label_space": "idd_lite"}, "needs to know which of two lists of classes"),
        ({"classes": ["road"]}, "it has the ids 1; the ids of .* are 0, 255"),
        ({"split": "folders"}, r"data\.split=folders: .* needs images/train and images/val"),
        ({"split_by": "group"}, r"data\.split_by=group: a folder of masks has no groups"),
    ],
)
def test_wrong_requests_are_answered(tmp_path, make, keys, words):
    with pytest.raises(DatasetError, match=words):
        make(make_root(tmp_path / "mine"), **keys)


def test_other_folders_and_label_spaces_are_answered(tmp_path, make):
    root = make_root(tmp_path / "mine")
    (root / "masks").rename(root / "labels")
    assert make(root).names == [f"images/street {number:02}.jpg" for number in range(20)]
    (root / "labels").rename(root / "second")
    with pytest.raises(DatasetError, match=r"Found: images in images \(20\), second \(20\)\.") as refusal:
        make(root)
    assert "\n  'data.image_pattern=images/{name}.*' 'data.mask_pattern=second/{name}.*'" in str(refusal.value)
    (root / "masks").mkdir()
    with pytest.raises(DatasetError, match=r"no pair of files such as .*; images found: 20, masks: 0"):
        make(root)
    with pytest.raises(LabelSpaceError, match="nowhere"):
        make(root, classes=None, label_space=str(tmp_path / "nowhere.csv"))


def test_an_image_and_its_mask_may_be_written_in_two_ways_of_unicode(tmp_path, make):
    root = make_root(tmp_path / "mine")
    for number in range(10):
        (root / f"images/street {number:02}.jpg").rename(root / f"images/caf\u00e9 {number:02}.jpg")
        (root / f"masks/street {number:02}.png").rename(root / f"masks/cafe\u0301 {number:02}.png")
    module = make(root)
    assert len(module.table) == 20
    check(module)


def test_a_predicted_mask_is_not_called_as_a_folder_of_others(tmp_path, make):
    root = make_root(tmp_path / "mine", count=6)
    (root / "masks/street 05.png").rename(root / "masks/street 05.bmp")
    for path in (root / "images/street 04.jpg", root / "masks/street 04.png"):
        (path.parent / "street 05.png").mkdir()
        path.rename(path.parent / "street 05.png" / path.name)
    places = [path.relative_to(root).as_posix() for path in sorted((root / "images").rglob("*.jpg"))]
    splits = ["train", "train", "train", "val", "test", "test"]
    rows = [f"{name},{split}" for name, split in zip(sorted(places), splits, strict=True)]
    (tmp_path / "split.csv").write_text("\n".join(["sample,split", *rows]))
    module = make(root, split=str(tmp_path / "split.csv"))
    with pytest.raises(DatasetError, match=r"would have the same name: 1 names, such as street 05\.png"):
        module.prediction_files("test")


def test_the_name_of_a_label_space_is_not_that_of_other_classes(tmp_path, make):
    with pytest.raises(DatasetError, match=r"data\.name=idd_lite: data\.classes has classes of your own"):
        make(make_root(tmp_path / "mine"), name="idd_lite")
