"""What explore.json holds, worked out by hand for a few images."""

import numpy as np
import pytest

from reports.exploration import Explored, describe, shown


def explored(**changes):
    """Four frames of 10×20 pixels in three drives, of road, sky and a class that does not occur."""
    elements = np.zeros((4, 2, 4), np.int64)
    elements[0] = [[0, 100, 0, 0], [100, 0, 0, 0]]
    elements[1] = [[20, 80, 0, 0], [100, 0, 0, 0]]
    elements[2] = [[0, 100, 0, 0], [60, 0, 0, 40]]
    given = {
        "unit": "pixels", "names": ["a/0", "a/1", "b/0", "c/0"], "splits": ["train", "train", "val", "test"], "groups": ["a", "a", "b", "c"],
        "truth": np.array([True, True, True, False]), "classes": ("road", "sky", "boat"), "elements": elements,
        "objects": np.array([(0, 100), (0, 900), (0, 2500), (1, 100**2)]), "sizes": np.array([(10, 20)] * 3 + [(20, 20)]), "trained": (10, 20),
        "brightness": np.array([0.2, 0.4, 0.6, 0.1]), "contrast": np.array([0.1, 0.2, 0.3, 0.001]), "upper": np.array([0.1, 0.2, -0.1, 0.3]),
        "digests": ["x", "y", "x", "z"],
    }  # fmt: skip
    return Explored(**{**given, **changes})


def test_splits_and_classes():
    found = describe(explored())
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
    found = describe(explored())
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
    found = describe(explored())
    brightness = found["brightness"]
    assert brightness["upper_brighter"] == 0.75
    assert brightness["splits"]["train"]["mean"] == pytest.approx(0.3)
    assert sum(brightness["splits"]["train"]["counts"]) == 2
    assert [each["sample"] for each in brightness["darkest"]] == ["c/0", "a/0", "a/1", "b/0"]
    assert brightness["blank"] == ["c/0"]
    assert found["equal"] == [{"samples": ["a/0", "b/0"], "splits": ["train", "val"], "classes": []}]


def test_equal_images_of_different_classes():
    elements = np.zeros((4, 2, 4), np.int64)
    elements[[0, 1, 2], 0, [0, 1, 2]] = 1
    found = describe(explored(unit="images", elements=elements))
    assert found["equal"][0]["classes"] == ["boat", "road"]
    assert [each["splits"]["val"]["count"] for each in found["classes"]] == [0, 0, 1]
    assert found["classes"][0]["upper"] is None


def test_samples_that_are_shown():
    few = shown(explored())
    assert few[:2] == [
        {"sample": "a/1", "split": "train", "why": "most road"},
        {"sample": "a/0", "split": "train", "why": "one of all"},
    ]
    assert {each["sample"] for each in few} == {"a/0", "a/1", "b/0", "c/0"}
    elements = np.zeros((90, 2, 4), np.int64)
    elements[np.arange(90), 0, np.arange(90) % 3] = 1
    many = {"names": [f"{i}" for i in range(90)], "splits": ["train"] * 90, "truth": np.ones(90, bool)}
    chosen = shown(explored(unit="images", elements=elements, **many))
    assert [each["why"] for each in chosen] == ["road"] * 6 + ["sky"] * 6 + ["boat"] * 6
    assert chosen[0]["sample"] == "0"


def test_images_without_classes_and_splits():
    found = explored(classes=(), elements=np.zeros((4, 2, 1), np.int64), splits=[""] * 4, truth=np.zeros(4, bool), unit="images")  # fmt: skip
    content = describe(found)
    assert content["splits"] == [{"name": "unsplit", "images": 4, "groups": 3, "without_truth": 4}]
    assert (content["classes"], content["void"]) == ([], None)
    assert len(shown(found)) == 4
