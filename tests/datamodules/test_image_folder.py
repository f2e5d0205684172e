import os
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.image_folder import ImageFolderDataModule
from datamodules.splits.sample_table import SPLITS
from settings.data import DataSettings

PARTS = {"train": 0.7, "val": 0.1, "test": 0.2}


def picture(path, value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    value = int.from_bytes(path.name.encode()[-7:-4], "little") if value is None else value
    Image.fromarray(np.full((4, 5, 3), value % 251, np.uint8)).save(path)


def folder_per_class(root, counts):
    """Different pictures in a folder per class."""
    number = 0
    for target, count in counts.items():
        for index in range(count):
            number += 1
            picture(root / target / f"{index:03}.png", number)
    return root


def image_folder(tmp_path, root, **keys):
    common = {"name": "image_folder", "split": PARTS, "image_size": (4, 4), "eval_batch_size": 4, "batch_size": 4}
    return ImageFolderDataModule(
        DataSettings(**common | {"root": str(root), "cache_dir": str(tmp_path / "cache")} | keys)
    )


@pytest.fixture
def module(tmp_path):
    return partial(image_folder, tmp_path)


def test_a_folder_per_class_is_split_and_read(tmp_path, module):
    root = folder_per_class(tmp_path / "my data=1", {"b": 30, "a": 20})
    data = module(root)
    data.prepare_training()
    assert data.label_space.classes == ("a", "b")
    assert [len(data.table.indices(split)) for split in SPLITS] == [35, 5, 10]
    first = data.table.samples[0]
    assert (first.name, first.target, first.group) == ("a/000.png", "a", "a/000.png")
    np.testing.assert_array_equal(data.read("b/000.png"), np.asarray(Image.open(root / "b/000.png")))
    assert (data.notes, data.skipped) == ([], [])
    assert {what: sizes.tolist() for what, sizes in data.extents([3, 0]).items()} == {"image": [[4, 5], [4, 5]]}


def test_what_is_not_an_image_is_ignored_counted_and_said(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 5, "b": 5})
    for name in (".DS_Store", "README.txt", "a/notes.md", "b/Thumbs.db"):
        (root / name).write_text("x")
    for name in ("a/.hidden.png", ".git/x.png", "a/.cache/y.png", "outside.png"):
        picture(root / name)
    data = module(root)
    assert len(data.find()) == 10
    assert data.notes == [
        "Ignored under the root: files that are no images (3), hidden files or folders (4), images outside class folders (1)."
    ]


def test_endings_count_in_any_case_and_folders_below_a_class_belong_to_it(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 3, "b": 3})
    picture(root / "a" / "deep" / "er" / "x.png", 99)
    (root / "a" / "deep" / "er" / "x.png").rename(root / "a" / "deep" / "er" / "X.JPEG")
    names = {candidate.name: candidate.target for candidate in module(root).find()}
    assert names["a/deep/er/X.JPEG"] == "a"
    assert len(names) == 7


def test_runs_beside_the_classes_are_no_class(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"cat": 5, "dog": 5})
    run = root / "runs/day/time"
    picture(run / "figures/a.png")
    for name in ("config.yaml", "overrides.txt"):
        (run / name).touch()
    data = module(root)
    assert {each.target for each in data.find()} == {"cat", "dog"}
    assert data.notes == ["Ignored under the root: run folders (1)."]


def test_links_are_followed_and_circles_are_not(tmp_path, module):
    elsewhere = folder_per_class(tmp_path / "elsewhere", {"b": 3})
    root = folder_per_class(tmp_path / "root", {"a": 3})
    (root / "b").symlink_to(elsewhere / "b")
    (root / "a" / "again").symlink_to(root / "a")
    names = [candidate.name for candidate in module(root).find()]
    assert names == [f"{target}/00{number}.png" for target in "ab" for number in range(3)]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "is empty: it holds no images; expected a folder per class"),
        (["x.png", "y.png"], "holds 2 images but no class folders"),
        (["x.txt"], "holds no images"),
        (["a/1.png", "a/2.png"], "has one class only, a"),
        (["a/1.png", "b/1.png", "c/1.txt"], "no images in class folder c; put some there or remove it"),
        (["a/1.txt", "b/1.txt"], "no images in class folder a, b"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.txt"], "no images in class folder val/b"),
    ],
)
def test_a_root_that_makes_no_sense_is_refused(tmp_path, module, files, words):
    root = tmp_path / "a root"
    root.mkdir()
    for name in files:
        path = root / name
        picture(path) if name.endswith("png") else (
            path.parent.mkdir(parents=True, exist_ok=True),
            path.write_text("x"),
        )
    with pytest.raises(DatasetError) as refusal:
        module(root, split="folders" if (root / "train").exists() else PARTS).find()
    assert words in str(refusal.value)
    assert f"data.root={root}" in str(refusal.value)


def test_a_missing_root_is_refused(tmp_path, module):
    with pytest.raises(DatasetError, match=r"data\.root=.*nowhere does not exist"):
        module(tmp_path / "nowhere").find()
    data = module(tmp_path)
    data.settings = data.settings.model_copy(update={"root": None})
    with pytest.raises(DatasetError, match=r"data=image_folder reads a folder of images: type data\.root=FOLDER"):
        data.find()


def test_a_class_with_fewer_images_than_splits_is_refused(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 9, "b": 2})
    with pytest.raises(DatasetError, match=r"b \(2\)"):
        module(root).prepare_training()


def damage(root):
    (root / "a" / "text.jpg").write_text("not an image")
    (root / "a" / "zero.png").touch()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(root / "b" / "moving.gif", save_all=True, append_images=frames[1:])
    whole = (root / "b" / "000.png").read_bytes()
    (root / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    return {"a/text.jpg": "not an image", "a/zero.png": "empty file", "b/moving.gif": "animated", "b/cut.png": ""}


def test_corrupt_files_are_all_listed_at_once(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 6, "b": 6})
    bad = damage(root)
    with pytest.raises(DatasetError) as refusal:
        module(root).find()
    message = str(refusal.value)
    assert message.startswith(f"4 of 16 images under data.root={root} cannot be read")
    assert "data.on_corrupt=skip" in message
    for name, reason in bad.items():
        assert f"{name}: {reason}" in message


def test_a_long_list_of_corrupt_files_is_cut_and_counted(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 6, "b": 6})
    for number in range(25):
        (root / "a" / f"z{number:02}.png").touch()
    with pytest.raises(DatasetError) as refusal:
        module(root).find()
    assert str(refusal.value).startswith("25 of 37 images")
    assert "\n  25 files (a/z00.png, a/z01.png, a/z02.png, a/z03.png, a/z04.png and 20 more): empty file" in str(
        refusal.value
    )


def test_corrupt_files_can_be_left_out_and_are_recorded(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 6, "b": 6})
    bad = damage(root)
    data = module(root, on_corrupt="skip")
    data.prepare_training()
    assert sorted(name for name, _ in data.skipped) == sorted(bad)
    assert all(bad[name] in reason for name, reason in data.skipped)
    assert len(data.table) == 12
    assert "Images that cannot be read: 4 of 16; they are left out (data.on_corrupt=skip)." in data.notes


def test_a_class_of_which_nothing_is_left_is_refused(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 6, "b": 6})
    (root / "c").mkdir()
    (root / "c" / "only.png").touch()
    with pytest.raises(DatasetError, match="no image of class c"):
        module(root, on_corrupt="skip").find()


def ready(root, **folders):
    for number, (folder, count) in enumerate(folders.items()):
        for target in "ab":
            for index in range(count):
                picture(root / folder / target / f"{index}.png", 10 * number + index + 100 * (target == "b"))
    return root


def test_ready_folders_are_used_as_they_are(tmp_path, module):
    data = module(ready(tmp_path / "root", train=6, valid=2, Test=3), split="folders")
    data.prepare_training()
    assert Counter((sample.split, sample.target) for sample in data.table.samples) == {
        (split, target): count for split, count in {"train": 6, "val": 2, "test": 3}.items() for target in "ab"
    }
    assert data.table.samples[0].name == "Test/a/0.png"
    assert data.label_space.classes == ("a", "b")


def test_ready_folders_without_the_word_for_them_say_what_to_type(tmp_path, module):
    root = ready(tmp_path / "root", train=6, val=2, test=3)
    with pytest.raises(
        DatasetError,
        match=r"holds ready folders \(test, train, val\); add data\.split=folders .*'data\.classes=\[test,train,val\]'",
    ):
        module(root).find()


def test_folds_pool_ready_folders(tmp_path, module):
    root = ready(tmp_path / "root", train=8, val=2, test=2)
    tested = []
    for fold in range(3):
        data = module(root, folds=3, fold=fold)
        data.prepare_training()
        assert data.table.counts("test") == {"a": 4, "b": 4}
        tested += [data.names[index] for index in data.indices("test")]
    assert sorted(tested) == sorted(data.names)
    assert len(tested) == 24


def test_the_word_for_ready_folders_without_them_is_refused(tmp_path, module):
    with pytest.raises(DatasetError, match=r"data\.split=folders: .* has no train and val or test folders"):
        module(folder_per_class(tmp_path / "root", {"a": 3, "b": 3}), split="folders").find()


def test_two_folders_for_one_split_are_refused(tmp_path, module):
    with pytest.raises(DatasetError, match="holds both val and valid; keep one folder for val"):
        module(ready(tmp_path / "root", train=2, val=2, valid=2), split="folders").find()


def test_a_runs_table_of_ready_folders_is_read_again(tmp_path, module):
    root = ready(tmp_path / "root", train=6, val=2, test=3)
    first = module(root, split="folders")
    first.prepare_training()
    first.table.write_csv(tmp_path / "split.csv")
    again = module(root, split=str(tmp_path / "split.csv"))
    again.prepare_training()
    assert again.table.sha256() == first.table.sha256()
    assert again.notes == []


def splits_of(data):
    return {split: len(data.table.indices(split)) for split in ("train", "select", "val", "test")}


@pytest.mark.parametrize("names", [("Training", "Testing"), ("TRAIN", "holdout"), ("train_set", "test_set")])
def test_train_and_test_without_val_select_on_a_piece_of_train(tmp_path, module, names):
    root = ready(tmp_path / "root", **{names[0]: 20, names[1]: 3})
    with pytest.raises(DatasetError, match=rf"holds ready folders .*{names[0]}.*; add data\.split=folders"):
        module(root).find()
    with pytest.raises(DatasetError, match=r"val has no samples; type data\.select_from=train"):
        module(root, split="folders").prepare_training()
    data = module(root, split="folders", select_from="train")
    data.prepare_training()
    assert splits_of(data) == {"train": 36, "select": 4, "val": 0, "test": 6}
    assert (data.selection_split, data.closing_split, data.label_space.classes) == ("select", "test", ("a", "b"))
    assert any(
        "There is no val, and the best checkpoint is chosen on 4 samples of train" in note for note in data.notes
    )


@pytest.mark.parametrize("val", ["val", "eval", "dev", "Validation"])
def test_imagenets_layout_reports_val_and_selects_on_a_piece_of_train(tmp_path, module, val):
    root = ready(tmp_path / "root", train=20, **{val: 3})
    data = module(root, split="folders", select_from="train")
    data.prepare_training()
    assert splits_of(data) == {"train": 36, "select": 4, "val": 6, "test": 0}
    assert (data.selection_split, data.closing_split) == ("select", "val")
    data.table.write_csv(tmp_path / "split.csv")
    again = module(root, split=str(tmp_path / "split.csv"), select_from="train")
    again.prepare_training()
    assert again.table.sha256() == data.table.sha256()
    plain = module(root, split="folders")
    plain.prepare_training()
    assert (plain.selection_split, plain.closing_split) == ("val", "val")
    assert any("data.select_from=train puts a piece of train aside" in note for note in plain.notes)


def test_folders_of_any_name_can_be_named(tmp_path, module):
    root = ready(tmp_path / "root", fold1=2, fold2=3, fold3=4, rest=1)
    folders = {"train": ["fold1", "fold2"], "test": "fold3"}
    data = module(root, split="folders", folders=folders, select_from="train")
    data.prepare_training()
    assert splits_of(data) == {"train": 9, "select": 1, "val": 0, "test": 8}
    assert "Ignored under the root: folders beside fold1, fold2, fold3 (1)." in data.notes
    with pytest.raises(DatasetError, match=r"data\.folders names fold9, but .* it has fold1, fold2, fold3, rest"):
        module(root, split="folders", folders={"train": "fold1", "val": "fold9"}).find()
    with pytest.raises(DatasetError, match=r"fold1, fold2, fold3, rest\) hold the same folders \(a, b\)"):
        module(root).find()


def test_a_class_called_train_beside_another_is_a_class(tmp_path, module):
    data = module(folder_per_class(tmp_path / "root", {"train": 10, "bus": 10}))
    data.prepare_training()
    assert data.label_space.classes == ("bus", "train")


def test_classes_that_are_called_as_splits_are_asked_about_and_can_be_answered(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"train": 10, "test": 10, "bus": 10})
    with pytest.raises(DatasetError, match=r"named like splits.*'data\.classes=\[bus,test,train\]'"):
        module(root).find()
    data = module(root, classes=["train", "bus", "test"])
    data.prepare_training()
    assert data.label_space.classes == ("train", "bus", "test")  # in the order that was typed
    data.table.write_csv(tmp_path / "split.csv")
    again = module(root, classes=["train", "bus", "test"], split=str(tmp_path / "split.csv"))
    again.prepare_training()
    assert again.table.sha256() == data.table.sha256()
    some = module(root, classes=["train", "bus"])
    some.prepare_training()
    assert some.label_space.classes == ("train", "bus")
    assert "Ignored under the root: folders that are not in data.classes (1)." in some.notes


def test_a_run_of_some_classes_in_ready_folders_comes_back(tmp_path, module):
    root = ready(tmp_path / "root", train=6, val=2, test=3)
    picture(root / "train" / "c" / "0.png", 7)
    data = module(root, classes=["b", "a"], split="folders")
    data.prepare_training()
    assert (data.label_space.classes, splits_of(data)["train"]) == (("b", "a"), 12)
    data.table.write_csv(tmp_path / "split.csv")
    again = module(root, classes=["b", "a"], split=str(tmp_path / "split.csv"))
    again.prepare_training()
    assert (again.table.sha256(), again.label_space.classes) == (data.table.sha256(), ("b", "a"))


def test_a_file_is_no_root(tmp_path, module):
    (tmp_path / "photos.zip").write_text("x")
    with pytest.raises(DatasetError, match=r"photos\.zip is a file, not a folder; unpack it, and give the folder"):
        module(tmp_path / "photos.zip").find()


def test_files_without_an_ending_and_what_a_download_leaves_behind(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 5, "b": 5})
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_suffix(""))
    for name in ("__MACOSX/a/._000.png", "a/._000", "a/Thumbs.db", "b/desktop.ini", "b/.DS_Store", "b/x.HEIC"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    data = module(root)
    assert len(data.find()) == 10
    for kind in (
        "HEIC pictures, which cannot be read (1)",
        "files that are no images (2)",
        "hidden files or folders (2)",
    ):
        assert kind in data.notes[0]
    assert "folders of an operating system (1)" in data.notes[0]


# A table of classes


def test_there_are_no_groups(tmp_path, module):
    with pytest.raises(DatasetError, match=r"data\.split_by=group: .*use data\.split_by=sample, or data\.labels"):
        module(folder_per_class(tmp_path / "root", {"a": 3, "b": 3}), split_by="group").find()


def test_byte_identical_files_stay_together(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 20, "b": 20})
    for number in range(10):
        (root / "a" / f"copy{number}.png").write_bytes((root / "a" / f"00{number}.png").read_bytes())
    data = module(root)
    data.prepare_training()
    side = {sample.name: sample.split for sample in data.table.samples}
    assert all(side[f"a/copy{number}.png"] == side[f"a/00{number}.png"] for number in range(10))
    assert [len(data.table.indices(split)) for split in SPLITS] == [35, 5, 10]


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
def test_trashnet_is_split_exactly(module):
    data = module(Path(os.environ["REAL_DATA"]) / "trashnet")
    data.prepare_training()
    assert [len(data.table.indices(split)) for split in SPLITS] == [1768, 252, 507]
    for part, split in zip(PARTS.values(), SPLITS, strict=True):
        for target, count in data.table.counts(split).items():
            total = sum(data.table.counts(other)[target] for other in SPLITS)
            assert abs(count - part * total) < 2
    assert any(
        "under different classes: 3, such as glass/glass115.jpg and metal/metal91.jpg" in note for note in data.notes
    )


def test_a_label_space_is_about_masks(module, tmp_path):
    with pytest.raises(DatasetError, match=r"data\.label_space=idd_level1 is about masks.*Leave it out"):
        module(tmp_path, label_space="idd_level1")


def test_skipping_is_not_advised_where_a_class_would_be_lost(tmp_path, module):
    root = folder_per_class(tmp_path / "root", {"a": 6, "b": 6, "c": 6})
    for path in (root / "c").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="mend them, because without them no sample of c is left") as refusal:
        module(root).find()
    assert "on_corrupt" not in str(refusal.value)
