"""What is wrong with frames and masks is said before they are used: all of it, by name, and once only."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import datamodules.files.audit
from datamodules.errors import DatasetError
from datamodules.idd_lite import IDDLiteDataModule
from tests.datamodules.conftest import SIZE, scene


def damage(lite):
    """One of everything that can be wrong, by the frame whose name must be said, and a word of the reason."""
    masks, images = lite / "gtFine", lite / "leftImg8bit"
    (masks / "train/000/0_label.png").unlink()
    (images / "train/001/0_image.jpg").unlink()
    Image.fromarray(np.full(SIZE, 9, np.uint8)).save(masks / "train/002/0_label.png")
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(masks / "train/003/0_label.png")
    Image.fromarray(scene(1, (30, 40))).save(masks / "train/004/0_label.png")
    (masks / "train/005/0_label.png").write_text("no image")
    (images / "train/006/0_image.jpg").write_bytes(b"")
    for kind in (masks, images):
        (kind / "val/020").rename(kind / "val/007")
    return {
        "leftImg8bit/train/000/0_image.jpg": "has no truth gtFine/train/000/0_label.png",
        "gtFine/train/001/0_label.png": r"has no image leftImg8bit/train/001/0\(_image.jpg\)",
        "leftImg8bit/train/002/0_image.jpg": ".*gtFine/train/002/0_label.png: it has the ids 9; the ids of idd_lite are 0–6, 255",
        "leftImg8bit/train/003/0_image.jpg": "no pixel of its mask has a class",
        "leftImg8bit/train/004/0_image.jpg": "the image has 36×24 pixels, its mask 40×30",
        "leftImg8bit/train/005/0_image.jpg": ".*gtFine/train/005/0_label.png: not an image",
        "leftImg8bit/train/006/0_image.jpg": "empty file",
        "leftImg8bit/train/007/0_image.jpg": "drive 007 is in train and val; a drive belongs on one side",
        "leftImg8bit/train/007/1_image.jpg": "drive 007 is in train and val",
    }


def test_all_that_is_wrong_is_said_at_once_by_name(make, lite):
    wrong = damage(lite)
    with pytest.raises(
        DatasetError, match=r"9 of 28 frames under data\.root=.* cannot be used; mend or remove them"
    ) as refusal:
        make()
    for name, reason in wrong.items():
        assert re.search(rf"\n  {name}: {reason}", str(refusal.value)), name


def test_what_is_wrong_can_be_left_out(make, lite):
    wrong = damage(lite)
    module = make(on_corrupt="skip")
    assert {name for name, _ in module.skipped} == set(wrong)
    assert not {sample.name for sample in module.table.samples} & set(wrong)
    assert len(module.table) == 28 - 9
    assert any("Frames that cannot be used: 9 of 28" in note for note in module.notes)
    assert sum(len(batch["index"]) for batch in module.evaluation_dataloader("val")) == 4


def test_a_csv_must_not_tear_a_drive_apart(make, lite, tmp_path):
    rows = (
        make()
        .table.csv_text()
        .replace(",011,mask,train", ",011,mask,val", 1)
        .replace(",011,mask,select", ",011,mask,val", 1)
    )
    (tmp_path / "torn.csv").write_text(rows)
    with pytest.raises(DatasetError, match=r"drive 011 is in (train|select) and val"):
        make(split=str(tmp_path / "torn.csv"))
    skipping = make(split=str(tmp_path / "torn.csv"), on_corrupt="skip")
    assert [sample.split for sample in skipping.table.samples if sample.group == "011"] == ["val"]
    assert len(make(split=str(tmp_path / "torn.csv"), split_by="sample").table) == 28


def test_copies_in_two_splits_are_noted(make, lite):
    source, copy = (lite / f"leftImg8bit/{place}/0_image.jpg" for place in ("train/000", "val/020"))
    copy.write_bytes(source.read_bytes())
    assert any(note.startswith("Byte-identical files in different splits: 1") for note in make().notes)


def test_a_second_start_reads_nothing(make, monkeypatch):
    first = make()

    def never(*_):
        raise AssertionError("a file was looked at again")

    monkeypatch.setattr(datamodules.files.audit, "inspect_image", never)
    monkeypatch.setattr(IDDLiteDataModule, "read_truth", never)
    again = make()
    assert again.counts() == first.counts()
    assert again.table.samples == first.table.samples


def test_the_audits_memory_is_plain_json(make, tmp_path):
    make()
    memories = [json.loads(path.read_text())[1] for path in (tmp_path / "cache").glob("audit-*.json")]
    assert len(memories) == 2
    pixels = [row[-1] for memory in memories for row in memory["files"].values() if row[-1]]
    assert all(sum(counts) == SIZE[0] * SIZE[1] and len(counts) == 8 for counts in pixels)


def test_a_cause_that_many_frames_share_has_one_line(make, lite):
    for number in range(6):
        Image.fromarray(np.full(SIZE, 9, np.uint8)).save(lite / f"gtFine/train/{number:03}/0_label.png")
        (lite / f"gtFine/train/{number:03}/1_label.png").unlink()
    with pytest.raises(DatasetError, match="12 of 28 frames") as refusal:
        make()
    first = ", ".join(f"leftImg8bit/train/{number:03}/{{}}_image.jpg" for number in range(5))
    assert f"6 files ({first.format(*'11111')} and 1 more): has no truth" in str(refusal.value)
    assert f"6 files ({first.format(*'00000')} and 1 more): it has the ids 9; the ids of" in str(refusal.value)


def test_skipping_is_advised_only_where_something_is_left_of_train_and_val(make, lite):
    for path in (lite / "gtFine/val").rglob("*.png"):
        Image.fromarray(np.full(SIZE, 9, np.uint8)).save(path)
    with pytest.raises(DatasetError, match=r"mend them, because without them val would have no samples:") as one:
        make()
    for path in (lite / "gtFine").rglob("*.png"):
        Image.fromarray(np.full(SIZE, 255, np.uint8)).save(path)
    with pytest.raises(DatasetError, match="mend them, because without them nothing is left:") as all_:
        make()
    assert "on_corrupt" not in str(one.value) + str(all_.value)
    with pytest.raises(DatasetError, match=r"(?s)nothing is left:.* no pixel of its mask has a class"):
        make(on_corrupt="skip")
