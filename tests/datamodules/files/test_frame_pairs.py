"""Frames and their truth, by name alone."""

import re
from pathlib import Path

import pytest

from datamodules.errors import DatasetError
from datamodules.files.frame_pairs import Layout, find_frames, list_pairs, refuse_repeated, torn_drives
from datamodules.files.idd_polygons import polygon_file

LAYOUT = Layout(images=("_image.jpg", "_image.png"), truth="_label.png", not_truth=("_inst_label.png",))


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def make_frame(root: Path, split: str, drive: str, frame: str, ending: str | None = ".jpg") -> None:
    for kind in ("leftImg8bit", "gtFine"):
        (root / kind / split / drive).mkdir(parents=True, exist_ok=True)
    (root / "gtFine" / split / drive / f"{frame}_gtFine_polygons.json").touch()
    if ending:
        (root / "leftImg8bit" / split / drive / f"{frame}_leftImg8bit{ending}").touch()


def test_frames_of_both_endings_are_found_and_lead_back_to_their_polygons(tmp_path):
    make_frame(tmp_path, "val", "7", "b", ".png")
    make_frame(tmp_path, "train", "12", "a")
    (tmp_path / "leftImg8bit/test/3").mkdir(parents=True)
    (tmp_path / "leftImg8bit/test/3/c_leftImg8bit.jpg").touch()  # without truth
    frames = find_frames(tmp_path)
    assert [(frame.name, frame.group, frame.split) for frame in frames] == [
        ("leftImg8bit/train/12/a_leftImg8bit.jpg", "12", "train"),
        ("leftImg8bit/val/7/b_leftImg8bit.png", "7", "val"),
    ]
    assert all(polygon_file(tmp_path, frame.name) == tmp_path / frame.truth for frame in frames)


def test_an_image_that_is_not_there_and_an_empty_root_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"leftImg8bit/train/<drive>/<frame>\(_leftImg8bit.jpg\|_leftImg8bit.png\)"):
        find_frames(tmp_path)
    make_frame(tmp_path, "train", "1", "lonely", ending=None)
    with pytest.raises(
        DatasetError,
        match=r"1 polygon files have no image, first gtFine/train/1/lonely_gtFine_polygons\.json",
    ):
        find_frames(tmp_path)


def test_images_and_truth_are_paired_across_roots(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    touch(one, "leftImg8bit/train/7/b_image.png", "gtFine/train/7/b_label.png", "gtFine/train/7/b_inst_label.png")
    touch(two, "leftImg8bit/train/12/a_image.jpg", "gtFine/train/12/a_label.png", "leftImg8bit/test/3/c_image.jpg")
    touch(
        two, "leftImg8bit/train/12/.hidden_image.jpg", "leftImg8bit/train/12/notes.txt", "leftImg8bit/stray_image.jpg"
    )
    found = list_pairs([one, two], LAYOUT)
    assert [(pair.name, pair.truth, pair.root, pair.group, pair.split) for pair in found.pairs] == [
        ("leftImg8bit/train/12/a_image.jpg", "gtFine/train/12/a_label.png", two, "12", "train"),
        ("leftImg8bit/train/7/b_image.png", "gtFine/train/7/b_label.png", one, "7", "train"),
    ]
    assert [(pair.name, pair.truth) for pair in found.without_truth] == [("leftImg8bit/test/3/c_image.jpg", "")]
    assert found.alone == []


def test_files_whose_other_half_is_missing_are_named(tmp_path):
    touch(tmp_path, "leftImg8bit/val/1/a_image.jpg", "leftImg8bit/val/1/b_image.jpg", "gtFine/val/1/a_label.png")
    touch(tmp_path, "gtFine/val/1/c_label.png")
    assert [(each.name, each.reason) for each in list_pairs([tmp_path], LAYOUT).alone] == [
        ("gtFine/val/1/c_label.png", "has no image leftImg8bit/val/1/c(_image.jpg|_image.png)"),
        ("leftImg8bit/val/1/b_image.jpg", "has no truth gtFine/val/1/b_label.png"),
    ]


def test_another_file_of_a_frame_is_beside_its_image():
    assert LAYOUT.beside("leftImg8bit/val/7/001_image.png", "_label.png") == "7/001_label.png"


def test_drives_in_several_splits_keep_the_last_one():
    frames = [("a", "1", "train"), ("b", "1", "val"), ("c", "2", "train"), ("d", "3", "test"), ("e", "3", "val")]
    assert torn_drives(frames) == {
        "a": "drive 1 is in train and val; a drive belongs on one side",
        "e": "drive 3 is in val and test; a drive belongs on one side",
    }


def test_a_frame_in_two_folders_is_refused():
    refuse_repeated(["a", "b"], "[one,two]")
    with pytest.raises(DatasetError, match=r"data\.root=\[one,two\]: 1 frames are in more than one .*, such as b"):
        refuse_repeated(["a", "b", "b"], "[one,two]")


def answer(*roots):
    with pytest.raises(DatasetError) as refusal:
        list_pairs(roots, LAYOUT)
    return str(refusal.value)


def test_a_root_too_high_or_too_low_is_answered_with_the_right_one(tmp_path):
    touch(tmp_path, "idd/idd/leftImg8bit/train/7/b_image.png", "idd/idd/gtFine/train/7/b_label.png")
    touch(tmp_path, "__MACOSX/idd/leftImg8bit/train/7/b_image.png")
    for root in ("", "idd", "idd/idd/leftImg8bit", "idd/idd/leftImg8bit/train"):
        assert answer(tmp_path / root).endswith(f" type data.root={tmp_path}/idd/idd")
    touch(tmp_path, "idd/other/leftImg8bit/train/8/c_image.png")
    assert answer(tmp_path).endswith(f" type data.root={tmp_path}/idd/idd or data.root={tmp_path}/idd/other")
    for part in ("one", "two"):
        make_frame(tmp_path / "both" / part, "train", part, "a")
    with pytest.raises(DatasetError, match=re.escape(f" or 'data.root=[{tmp_path}/both/one,{tmp_path}/both/two]'")):
        find_frames(tmp_path / "both")


def test_a_root_of_another_dataset_or_of_nothing_is_answered_with_what_is_there(tmp_path):
    touch(tmp_path, "one/leftImg8bit/train/7/b_leftImg8bit.png", "two/notes.txt", "two/.hidden")
    assert f"Found: 1 files such as {tmp_path}/one/leftImg8bit/train/7/b_leftImg8bit.png" in answer(tmp_path / "one")
    (tmp_path / "alone/empty").mkdir(parents=True)
    assert answer(tmp_path / "alone/empty").endswith("Found: nothing.")


def test_one_of_several_roots_that_has_no_frames_is_named(tmp_path):
    touch(tmp_path, "one/leftImg8bit/train/7/b_image.png", "one/gtFine/train/7/b_label.png", "two/x")
    assert f"No frames with truth under data.root={tmp_path}/two;" in answer(tmp_path / "one", tmp_path / "two")


def test_two_images_of_one_frame_are_both_named(tmp_path):
    touch(tmp_path, "leftImg8bit/val/1/a_image.jpg", "leftImg8bit/val/1/a_image.png", "gtFine/val/1/a_label.png")
    reason = "there are several images of this frame: a_image.jpg, a_image.png"
    assert [(each.name, each.reason) for each in list_pairs([tmp_path], LAYOUT).alone] == [
        ("leftImg8bit/val/1/a_image.jpg", reason),
        ("leftImg8bit/val/1/a_image.png", reason),
    ]
    make_frame(tmp_path / "idd", "val", "1", "a", ".jpg")
    make_frame(tmp_path / "idd", "val", "1", "a", ".png")
    with pytest.raises(
        DatasetError, match=r"several images of this frame: a_leftImg8bit\.jpg, a_leftImg8bit\.png; keep one"
    ):
        find_frames(tmp_path / "idd")
