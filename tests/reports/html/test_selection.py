import numpy as np
import pytest
from scipy.sparse import csr_array

from reports.html.selection import (
    by_score,
    confident_mistakes,
    failing,
    largest_pairs,
    reasons,
    sample_scores,
    uncertain,
    worst_rows,
)

# Three frames of two classes and void; cells are truth · 3 + prediction.
FRAMES = csr_array(np.array([[5, 1, 0, 0, 4, 0, 0, 0, 0], [9, 0, 0, 3, 1, 0, 2, 0, 0], [0, 0, 2, 1, 0, 0, 0, 0, 0]]))


def test_the_worst_median_and_best_are_each_listed_once():
    scores = np.arange(30, 0, -1) / 30.0
    scores[4] = np.nan
    found = by_score(scores)
    rows = {place: [row for row, each in found.items() if each == place] for place in ("worst", "median", "best")}
    assert rows == {"worst": [*range(29, 19, -1)], "median": [16, 15, 14], "best": [0, 1, 2]}
    assert by_score(np.array([0.5, 0.1])) == {1: "worst", 0: "worst"}
    assert by_score(np.array([np.nan])) == {}


def test_pairs_with_the_most_errors_come_first_and_void_truth_is_none():
    confusion = np.asarray(FRAMES.sum(axis=0)).reshape(3, 3)
    assert largest_pairs(confusion) == [(1, 0), (0, 2), (0, 1)]
    assert largest_pairs(np.diag([3, 2, 0])) == []


def test_the_worst_samples_of_a_pair_have_most_of_it():
    assert worst_rows(FRAMES, 1, 0) == [1, 2]
    assert worst_rows(FRAMES, 0, 1) == [0]
    assert worst_rows(FRAMES, 0, 0, np.array([0.1, 0.01, 0.9], np.float32)) == [0, 1]


@pytest.mark.parametrize(("threshold", "expected"), [(1.0, {0: 1, 1: 1}), (0.6, {1: 1}), (0.5, {})])
def test_a_class_fails_worst_where_most_of_it_is_missed_or_wrong(threshold, expected):
    # Class 0: 14 hits of 14 + 1 + 2 + 4, IoU 0.667; class 1: 5 of 9 + 1, IoU 0.5.
    assert failing(FRAMES, threshold - 1e-9) == expected


def test_mistakes_and_uncertain_images():
    target, prediction = np.array([0, 0, 0, 1]), np.array([1, 1, 1, 1])
    probability = np.array([0.5, 0.9, 0.7, 0.2], np.float32)
    assert confident_mistakes(target, prediction, probability) == {0: [1, 2], 1: []}
    assert uncertain(probability) == [3, 0, 2, 1]


def test_all_frames_that_are_shown():
    assert sorted(reasons(FRAMES, "ab", sample_scores(FRAMES), 0.5)) == [0, 1, 2]
    empty = csr_array(np.zeros((2, 9), np.int64))
    assert reasons(empty, "ab", sample_scores(empty), 0.5) == {}
