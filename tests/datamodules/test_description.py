"""What explore.json holds, worked out by hand for a few images."""

from dataclasses import replace

import numpy as np
import pytest

from datamodules.description import describe, shown
from datamodules.splits.sample_table import Sample
from datamodules.statistics import Statistics


def explored(**changes):
    """Four frames of 10×20 pixels in three drives, of road, sky and a class that does not occur."""
    elements = np.zeros((4, 2, 4), np.int64)
    elements[0] = [[0, 100, 0, 0], [100, 0, 0, 0]]
    elements[1] = [[20, 80, 0, 0], [100, 0, 0, 0]]
    elements[2] = [[0, 100, 0, 0], [60, 0, 0, 40]]
    pictures = np.zeros((4, 64, 64), np.uint8)
    for row, (upper, lower) in enumerate([(70, 32), (112, 92), (103, 203), (26, 26)]):
        pictures[row, :32], pictures[row, 32:] = upper, lower
    given = {
        "samples": [Sample("a/0", "a", "mask", "train"), Sample("a/1", "a", "mask", "train"), Sample("b/0", "b", "mask", "val"), Sample("c/0", "c", "", "test")],
        "classes": ("road", "sky", "boat"), "unit": "pixels", "elements": elements, "objects": np.array([(0, 100), (0, 900), (0, 2500), (1, 100**2)]),
        "sizes": np.array([(10, 20)] * 3 + [(20, 20)]), "pictures": pictures, "digests": ["x", "y", "x", "z"], "unreadable": [],
    }  # fmt: skip
    return Statistics(**{**given, **changes})


def as_images(targets, **changes):
    """The same four as images of classes."""
    elements = np.zeros((4, 2, 4), np.int64)
    for row, target in enumerate(targets):
        elements[row, 0, ("road", "sky", "boat").index(target)] = 1
    samples = [
        replace(sample, target=target) for sample, target in zip(explored().samples, [*targets, ""], strict=False)
    ]
    return explored(unit="images", elements=elements, samples=samples, **changes)


def test_splits_and_classes():
    found = describe(explored(), (10, 20))
    assert found["splits"] == [
        {"name": "train", "images": 2, "groups": 1, "without_truth": 0},
        {"name": "val", "images": 1, "groups": 1, "without_truth": 0},
        {"name": "test", "images": 1, "groups": 1, "without_truth": 1},
    ]
    assert found["has_groups"]
    road, sky, boat = found["classes"]
    assert road["splits"]["train"] == {"count": 220, "images": 2, "groups": 1}
    assert sky["splits"]["val"] == {"count": 100, "images": 1, "groups": 1}
    assert boat["splits"]["train"] == {"count": 0, "images": 0, "groups": 0}
    assert (road["upper"], sky["upper"], boat["upper"]) == (20 / 280, 1.0, None)
    assert found["void"] == 40 / 600


def test_sizes_of_objects_and_images():
    found = describe(explored(), (10, 20))
    assert found["classes"][0]["objects"] == {
        "count": 3, "p10": 14.0, "p50": 30.0, "p90": 46.0, "small": pytest.approx(2 / 3), "medium": pytest.approx(1 / 3), "large": 0,
    }  # fmt: skip
    assert found["classes"][1]["objects"]["large"] == 1
    assert found["classes"][2]["objects"] is None
    sizes = found["sizes"]
    assert (sizes["different"], sizes["squashed"]) == (2, 0.25)
    assert sizes["commonest"][0] == {"height": 10, "width": 20, "images": 3}
    assert sizes["sides"] == {"height": [10, 10, 20], "width": [20, 20, 20]}


def test_brightness_and_equal_images():
    found = describe(explored(), (10, 20))
    brightness = found["brightness"]
    assert brightness["upright"] is None  # of two drives
    assert brightness["splits"]["train"]["mean"] == (51 + 102) / 2
    assert sum(brightness["splits"]["train"]["counts"]) == 2
    assert [each["sample"] for each in brightness["darkest"]] == ["c/0", "a/0", "a/1", "b/0"]
    assert brightness["blank"] == ["c/0"]
    assert found["equal"] == [{"samples": ["a/0", "b/0"], "splits": ["train", "val"], "classes": []}]


def test_equal_images_of_different_classes():
    found = describe(as_images(["road", "sky", "boat"]), (10, 20))
    assert found["equal"][0]["classes"] == ["boat", "road"]
    assert [each["splits"]["val"]["count"] for each in found["classes"]] == [0, 0, 1]
    assert found["classes"][0]["upper"] is None


def test_samples_that_are_shown():
    few = shown(explored())
    assert few[:2] == [
        {"sample": "a/1", "split": "train", "why": "most road"},
        {"sample": "a/0", "split": "train", "why": "spread evenly"},
    ]
    assert {each["sample"] for each in few} == {"a/0", "a/1", "b/0", "c/0"}
    elements = np.zeros((90, 2, 4), np.int64)
    elements[np.arange(90), 0, np.arange(90) % 3] = 1
    many = [Sample(f"{i}", f"{i}", "x", "train") for i in range(90)]
    chosen = shown(explored(unit="images", elements=elements, samples=many))
    assert [each["why"] for each in chosen] == ["road"] * 6 + ["sky"] * 6 + ["boat"] * 6
    assert chosen[0]["sample"] == "0"


def bare(**changes):
    """The same four, of which nothing but the images is known."""
    samples = [Sample(sample.name, sample.name, "", "unsplit") for sample in explored().samples]
    return explored(classes=(), elements=np.zeros((4, 2, 1), np.int64), samples=samples, unit="images", **changes)


def test_images_without_classes_and_splits():
    content = describe(bare(), (10, 20))
    assert content["splits"] == [{"name": "unsplit", "images": 4, "groups": 4, "without_truth": 4}]
    assert (content["classes"], content["void"], content["has_groups"]) == ([], None, False)
    assert len(shown(bare())) == 4


@pytest.mark.parametrize(("sky", "low", "high"), [(60, 1.0, 1.0), (0, 0.35, 0.65)])
def test_whether_images_have_an_up_and_a_down(sky, low, high):
    draws = np.random.default_rng(0)
    pictures = draws.integers(0, 180, (200, 64, 64), dtype=np.uint8)
    pictures[:, :20] += sky
    samples = [Sample(f"{i}", f"{i}", "", "unsplit") for i in range(200)]
    found = explored(
        samples=samples,
        pictures=pictures,
        elements=np.zeros((200, 2, 4), np.int64),
        sizes=np.ones((200, 2)),
        digests=samples,
    )
    assert low <= describe(found, (1, 1))["brightness"]["upright"] <= high
