"""What is wrong with data, in sentences: each is there where its cause is, and not elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from datamodules import description
from datamodules.splits.sample_table import Sample
from reports.findings import findings
from tests.datamodules.test_description import as_images, explored

BESIDE = {
    "data": {"unit": "pixels"},
    "obstacle": None,
    "skipped": [],
    "notes": [],
    "augmentation": None,
    "near": [],
    "label_errors": None,
}


def describe(found):
    return description.describe(found, (10, 20))


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
        samples=[Sample(f"{i}", f"d{i // 2}", "mask", ("train", "val")[i % 2]) for i in range(count)], elements=elements, sizes=np.array([(10, 20)] * count),
        pictures=np.tile(np.arange(64, dtype=np.uint8), (count, 64, 1)), digests=[f"{i}" for i in range(count)],
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
    assert found["unusable"]["text"].startswith("Files that cannot be used: 3; training refuses them")
    assert found["unusable"]["text"].endswith(". empty (2); no mask")
    assert found["unusable"]["samples"] == ["a", "b", "c"]
    assert found["note"]["text"] == "Mind this."


def test_equal_images_in_two_classes_and_copies_within_a_split():
    same = as_images(["road", "sky", "boat"], digests=["x", "x", "x", "y"])
    content = describe(replace(same, samples=[replace(each, split="train") for each in same.samples]))
    found = told(content, data={"unit": "images"}, obstacle="no class folders.")
    assert found["equal_apart"]["text"].startswith("1 image is in several classes (boat and road and sky)")
    assert "equal_within" not in found
    one = describe(replace(same, samples=[replace(each, split="train", target="road") for each in same.samples]))
    assert "(copies: 2)" in told(one, data={"unit": "images"})["equal_within"]["text"]
    assert found["obstacle"]["text"].endswith("because they cannot be trained on: no class folders.")


def test_nearly_equal_images_and_label_errors():
    near = [
        {
            "first": "a/1",
            "second": "b/0",
            "splits": ("train", "val"),
            "correlation": 0.99,
            "share": 1.0,
            "mirrored": False,
        }
    ]
    found = told(
        describe(explored()), near=near, label_errors={"count": 7, "judged": 3, "left_out": 1, "candidates": []}
    )
    assert found["near"]["text"].startswith("Nearly the same in different splits: 1 pair of images")
    assert found["near"]["samples"] == ["a/1", "b/0"]
    assert found["label_errors"]["text"].startswith("7 regions of 3 samples may have a wrong label")
