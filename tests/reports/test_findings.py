"""What is wrong with data, in sentences: each is there where its cause is, and not elsewhere."""

import numpy as np
import pytest

from reports.exploration import describe
from reports.findings import findings
from tests.reports.test_exploration import explored

BESIDE = {"data": {"unit": "pixels"}, "obstacle": None, "skipped": [], "notes": [], "augmentation": None}


def told(content, **changes):
    return {each["kind"]: each for each in findings({**BESIDE, **content, **changes})}


def test_what_is_wrong_with_a_few_frames():
    found = told(describe(explored()))
    assert [*found] == ["equal_across", "absent", "few", "void", "blank", "squashed"]
    assert found["equal_across"]["samples"] == ["a/0", "b/0"]
    assert found["equal_across"]["text"].startswith("1 image is in more than one split, pixel for pixel")
    assert found["absent"]["text"].startswith(
        "Classes without any pixels in train and val: boat; they cannot be learnt"
    )
    assert found["few"]["text"].endswith(
        "fewer than 10 drives, so that chance may make their scores: road (1), sky (1)."
    )
    assert found["void"]["text"].startswith("7 % of the pixels have no class")
    assert found["blank"]["samples"] == ["c/0"]
    assert found["squashed"]["text"].startswith("25 % of the images have another shape than data.image_size=[10,20]")


def test_sound_data_has_no_findings():
    count = 40
    elements = np.zeros((count, 2, 4), np.int64)
    elements[:, 0, 1], elements[:, 1, 0], elements[:, :, 2] = 90, 90, 10
    sound = explored(
        names=[f"{i}" for i in range(count)], splits=["train", "val"] * 20, groups=[f"d{i // 2}" for i in range(count)], elements=elements,
        truth=np.ones(count, bool), sizes=np.array([(10, 20)] * count), brightness=np.full(count, 0.5), contrast=np.full(count, 0.2),
        upper=np.full(count, 0.1), digests=[f"{i}" for i in range(count)],
    )  # fmt: skip
    assert told(describe(sound)) == {}
    rare = elements.copy()
    rare[:, :, 2] = 0
    rare[:24, 0, 2] = 1
    assert [*told(describe(explored(**{**vars(sound), "elements": rare})))] == ["imbalance"]


@pytest.mark.parametrize(("turned", "named"), [(31, True), (0, False)])
def test_frames_that_are_turned_upside_down(turned, named):
    used = {"name": "flip_rotate", "sample": "a/0", "epochs": 6, "upside_down": turned, "draws": 60}
    found = told(describe(explored()), augmentation=used)
    assert ("upside_down" in found) == named
    if named:
        assert "upside down in 31 of 60 epochs" in found["upside_down"]["text"]
        assert "93 % of road is in the lower half, 100 % of sky is in the upper half" in found["upside_down"]["text"]


def test_files_that_cannot_be_used_are_grouped_by_reason_and_not_named_twice():
    skipped = [{"sample": name, "reason": "empty"} for name in "ab"] + [{"sample": "c", "reason": "no mask"}]
    notes = ["Frames that cannot be used: 3 of 9; they are left out (data.on_corrupt=skip).", "Mind this."]
    found = told(describe(explored()), skipped=skipped, notes=notes)
    assert found["unusable"]["text"].startswith("3 files cannot be used, and training refuses them")
    assert found["unusable"]["text"].endswith(": empty (2); no mask (1)")
    assert found["unusable"]["samples"] == ["a", "b", "c"]
    assert found["note"]["text"] == "Mind this."


def test_equal_images_in_two_classes_and_copies_within_a_split():
    elements = np.zeros((4, 2, 4), np.int64)
    elements[[0, 1, 2], 0, [0, 1, 2]] = 1
    content = describe(explored(unit="images", elements=elements, splits=["train"] * 4, digests=["x", "x", "x", "y"]))
    found = told(content, data={"unit": "images"}, obstacle="no class folders.")
    assert found["equal_apart"]["text"].startswith("1 image is in several classes (boat and road and sky)")
    assert "(2 copies)" in found["equal_within"]["text"]
    assert found["obstacle"]["text"].endswith("because they cannot be trained on: no class folders.")
