"""Scores of parts: each is what sklearn computes from that part's elements alone, and together they are the whole."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from metrics.counting import image_matrices
from metrics.slices import Slicing, by_brightness, by_image_size, by_object_size, by_tag, slice_scores

CLASSES = 4


@pytest.fixture
def frames():
    """Thirty masks of 60 pixels with predictions; void, 4, may be true and predicted. The last five drives know fewer classes."""
    draws = np.random.default_rng(0)
    truth = draws.integers(0, CLASSES + 1, (30, 60))
    truth[25:] = truth[25:] // 3  # 0 and 1
    guess = np.where(draws.random((30, 60)) < 0.6, truth, draws.integers(0, CLASSES + 1, (30, 60)))
    return truth, guess


def sparse(truth, guess):
    side = CLASSES + 1
    return csr_array(
        np.array([np.bincount(t * side + g, minlength=side**2) for t, g in zip(truth, guess, strict=True)])
    )


def direct(truth, guess):
    known = truth < CLASSES
    truth, guess = truth[known], guess[known]
    occurring = sorted({*truth.tolist(), *guess.tolist()} - {CLASSES})
    average = {"labels": occurring, "average": "macro", "zero_division": 0}
    return {
        "support": len(truth),
        "accuracy": accuracy_score(truth, guess),
        "miou": jaccard_score(truth, guess, **average),
        "f1_macro": f1_score(truth, guess, **average),
        "miou_classes": len(occurring),
    }


def test_each_part_has_the_scores_of_its_pixels_alone(frames):
    truth, guess = frames
    drives = [f"drive_{i // 5}" for i in range(30)]
    sizes = np.array([(10, 6) if i % 3 else (6, 10) for i in range(30)])
    rows = slice_scores(sparse(truth, guess), [by_tag("drive", drives), by_image_size(sizes)])
    parts = {("all", "all"): np.ones(30, bool)}
    parts |= {("drive", name): np.array(drives) == name for name in sorted(set(drives))}
    parts |= {("image_size", name): (sizes == size).all(1) for name, size in (("10x6", (6, 10)), ("6x10", (10, 6)))}
    assert [(row["slice"], row["value"]) for row in rows] == list(parts)
    for row, part in zip(rows, parts.values(), strict=True):
        expected = direct(truth[part], guess[part])
        assert {key: row[key] for key in expected} == pytest.approx(expected)
        assert row["n_samples"] == part.sum()
    for name in ("drive", "image_size"):
        of = [row for row in rows if row["slice"] == name]
        assert sum(row["support"] for row in of) == rows[0]["support"]
        whole = sum(row["accuracy"] * row["support"] for row in of) / rows[0]["support"]
        assert whole == pytest.approx(rows[0]["accuracy"])


def test_crops_are_parted_by_their_boxes_and_parts_without_any_left_out():
    truth, guess = np.array([0, 1, 2, 3, 0, 1]), np.array([0, 1, 2, 0, 1, 4])
    boxes = np.array([(31, 33), (32, 32), (31, 32), (95, 97), (96, 96), (400, 23.04)])
    rows = slice_scores(image_matrices(truth, guess, CLASSES), [by_object_size(boxes)])
    assert [(row["value"], row["n_samples"], row["accuracy"]) for row in rows[1:]] == [
        ("small", 2, 1.0),  # 1023 and 992 square pixels
        ("medium", 2, 0.5),  # 1024 and 9215
        ("large", 2, 0.0),  # 9216 twice; the second was predicted as void
    ]
    rows = slice_scores(image_matrices(truth[:1], guess[:1], CLASSES), [by_object_size(boxes[:1])])
    assert [row["value"] for row in rows] == ["all", "small"]


def test_many_sizes_of_images_are_put_together_by_magnitude():
    sides = [31, 32, 33, 60, 63, 64, 100, 127, 128, 200, 255, 256]
    found = by_image_size(np.array([[side, side] for side in sides]))
    assert found.name == "image_side"
    assert found.values == ["16-31", "32-63", "64-127", "128-255", "256-511"]
    assert found.of.tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    assert by_image_size(np.array([[side, side] for side in sides[:10]])).name == "image_size"


def test_what_is_undefined_for_a_part_is_none_and_not_nought():
    truth, guess = np.full((2, 5), CLASSES), np.zeros((2, 5), int)
    truth[0] = 1
    rows = slice_scores(sparse(truth, guess), [Slicing("drive", ["a", "b"], np.array([0, 1]))])
    assert (rows[1]["miou"], rows[1]["support"]) == (0.0, 5)
    assert (rows[2]["miou"], rows[2]["accuracy"], rows[2]["support"], rows[2]["n_samples"]) == (None, None, 0, 1)


def test_brightness_is_cut_into_thirds_and_equal_values_stay_together():
    grey = np.array([90.0, 10, 200, 30.25, 80, 120, 110, 100, 20])
    found = by_brightness(grey)
    assert (found.name, found.values) == ("brightness", ["10.0-30.2", "80.0-100.0", "110.0-200.0"])
    assert found.of.tolist() == [1, 0, 2, 0, 1, 2, 2, 1, 0]
    assert by_brightness(np.array([7.0, 7, 7, 7, 7, 9])).of.tolist() == [0, 0, 0, 0, 0, 2]
    assert by_brightness(np.array([5.0])).values[0] == "5.0-5.0"
