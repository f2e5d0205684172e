"""Classes or splits: what is certain is read, what is not is asked about with both answers."""

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.folder_layout import ambiguity, inside, ready_folders, typed_folders
from datamodules.image_folder import scan


def tree(root, *names):
    """Pictures at these paths, and texts at those that do not end as pictures do."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("png"):
            Image.fromarray(np.full((4, 5, 3), number % 251, np.uint8)).save(path)
        else:
            path.write_text("x")
    return root


def per_class(*folders):
    return [f"{folder}/{target}/0.png" for folder in folders for target in ("cat", "dog")]


@pytest.mark.parametrize(
    "folders",
    [
        {"train": "train", "val": "val"},
        {"Training": "train", "Testing": "test"},
        {"TRAIN": "train", "Validation": "val", "TEST": "test"},
        {"train": "train", "eval": "val"},
        {"train_set": "train", "dev": "val", "holdout": "test"},
        {"01_train": "train", "02_valid": "val", "hold-out": "test"},
        {"train2017": "train", "val2017": "val"},
    ],
)
def test_folders_named_after_splits_are_recognised_in_any_writing(tmp_path, folders):
    root = tree(tmp_path, *per_class(*folders), "extra/cat/0.png", "__MACOSX/train/cat/._0.png")
    assert ready_folders(root) == folders


def test_classes_named_after_splits_are_not_ready_folders(tmp_path):
    assert ready_folders(tree(tmp_path, "train/0.png", "test/0.png")) == {}
    assert ready_folders(tree(tmp_path, "train/0.png", "test/0.png"), classes_within=False) == {
        "train": "train",
        "test": "test",
    }


def test_two_folders_for_one_split_are_refused_with_the_line_that_names_both(tmp_path):
    root = tree(tmp_path, *per_class("train", "val", "eval"))
    line = r"data\.split=folders 'data\.folders=\{train:train,val:\[eval,val\]\}'"
    with pytest.raises(DatasetError, match=rf"holds both eval and val; keep one folder for val, .*{line}"):
        ready_folders(root)


def test_how_folders_are_typed():
    assert (
        typed_folders({"a": "test", "b": "train", "c": "train"})
        == "data.split=folders 'data.folders={train:[b,c],test:a}'"
    )


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (per_class("fold1", "fold2", "fold3"),
         ["(fold1, fold2, fold3) hold the same folders (cat, dog)", "{train:[fold1,fold2],test:fold3}", "[fold1,fold2,fold3]"]),
        (per_class("Training", "PublicTest", "PrivateTest"), ["{train:Training,val:PrivateTest,test:PublicTest}"]),
        ([*per_class("train", "other"), "train/bird/0.png"], ["{train:train,test:other}", "'data.classes=[other,train]'"]),
        (["train/0.png", "test/0.png"], ["test and train are named like splits", "data.labels=FILE.csv", "[test,train]"]),
        (["val/0.png", "Testing/0.png"], ["Testing and val are named like splits"]),
        (["train/0.png", "test/0.png", "bus/0.png"], ["'data.classes=[bus,test,train]'"]),
        ([*per_class("train"), "val/0.png", "val/1.png"], ["train holds folders (cat, dog), but val none", "data.root={root}/train", "source={root}/val"]),
        ([*per_class("birds/train", "birds/val"), "runs/day/0.png"],
         ["birds holds folders called like splits (train, val)", "type data.root={root}/birds data.split=folders; if they are classes, type 'data.classes=[birds,runs]'"]),
        ([f"{kind}/{split}/0/0.png" for kind in ("gtFine", "leftImg8bit") for split in ("train", "val")],
         ["gtFine, leftImg8bit hold folders called like splits (train, val)", "Images with masks are read with data=mask_folder, idd or idd_lite;"]),
        (["train/express/0.png", "train/metro/0.png", "bus/0.png"], ["data.root={root}/train", "'data.classes=[bus,train]'"]),
    ],
)  # fmt: skip
def test_what_may_be_splits_or_classes_is_asked_about(tmp_path, names, parts):
    why = ambiguity(tree(tmp_path, *names))
    assert all(part.replace("{root}", str(tmp_path)) in why for part in parts), why


@pytest.mark.parametrize(
    "names",
    [
        ["cat/0.png", "dog/0.png"],
        ["train/0.png", "bus/0.png"],  # a vehicle
        ["cat/deep/0.png", "dog/0.png", "dog/deep/1.png"],
        ["cat/left/0.png", "cat/right/0.png", "dog/top/0.png", "dog/left/0.png"],
        [*per_class("a", "b"), "a/0.png"],
        ["only/cat/0.png", "only/dog/0.png"],
    ],
)
def test_classes_are_beyond_doubt(tmp_path, names):
    assert ambiguity(tree(tmp_path, *names)) is None


def test_folders_beside_the_ready_ones_are_counted(tmp_path):
    root = tree(tmp_path, *per_class("train", "val", "extra"), "train/bird/0.png", "0.png", "__MACOSX/train/x.png")
    images, ignored = scan(root, ready_folders(root))
    assert +ignored == {
        "folders beside train, val": 1, "images outside class folders": 1, "folders of an operating system": 1
    }  # fmt: skip
    assert images[0] == ("train/bird/0.png", "bird", "train")
    assert len(images) == 5


def test_folders_of_a_split_that_train_has_not_are_no_classes(tmp_path):
    root = tree(tmp_path, *per_class("train"), "val/images/0.png", "val/images/1.png")
    with pytest.raises(
        DatasetError, match=rf"val holds the folders images, .* or split train alone with data\.root={root}/train"
    ):
        scan(root, ready_folders(root))
    tree(tmp_path, *per_class("dev"))
    ready = {"train": "train", "dev": "val", "val": "test"}
    with pytest.raises(
        DatasetError, match=r"leave it out with data\.split=folders 'data\.folders=\{train:train,val:dev\}'"
    ):
        scan(root, ready)


def test_classes_may_be_named(tmp_path):
    root = tree(tmp_path, "train/0.png", "bus/0.png", "notes/0.png", "empty/x.txt")
    images, ignored = scan(root, {}, ["train", "bus"])
    assert [target for _, target, _ in images] == ["bus", "train"]
    assert ignored["folders that are not in data.classes"] == 2
    with pytest.raises(DatasetError, match=r"data\.classes names car, but .* it has bus, empty, notes, train"):
        scan(root, {}, ["train", "car"])


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["root/cat/0.png", "root/dog/0.png"], "{root}/root has a folder per class (cat, dog): type data.root={root}/root."),
        (["a/b/cat/0.png", "a/b/dog/0.png", "__MACOSX/a/b/cat/0.png"], "type data.root={root}/a/b."),
        (per_class("archive/Training", "archive/Testing"), "type data.root={root}/archive data.split=folders"),
        (per_class("train"), "type data.root={root}/train."),
        ([f"images/{name}" for name in ("cat/0.png", "dog/0.png")] + ["annotations/0.xml"], "type data.root={root}/images."),
        (["x.png", "labels.csv"], "If labels.csv holds the classes, type data.labels={root}/labels.csv."),
        (["x/0.heic", "x/1.heic"], "HEIC pictures, which cannot be read (2). Convert them first"),
        (["x/0.mp4"], "Extract frames first, for example with: mkdir frames && ffmpeg -i VIDEO"),
        (["x/0.xyz"], "Found there: files that are no images (1)."),
    ],
)  # fmt: skip
def test_a_root_that_is_no_dataset_is_refused_with_what_would_do(tmp_path, names, hint):
    with pytest.raises(DatasetError) as refusal:
        scan(tree(tmp_path, *names), {})
    assert hint.replace("{root}", str(tmp_path)) in str(refusal.value)


def test_nothing_inside_is_no_hint(tmp_path):
    assert inside(tree(tmp_path, "cat/0.png")) == ""
