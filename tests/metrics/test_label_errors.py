"""Candidates for label errors, against regions drawn by hand, a search pixel by pixel, and confident learning written out."""

import math

import numpy as np
import pytest
from scipy import ndimage

from metrics.label_errors import Region, disagreeing_regions, image_scores, region_scores, surprise

VOID = 3


def canvas() -> np.ndarray:
    """Class 0 above class 1, 60×80."""
    mask = np.zeros((60, 80), np.uint8)
    mask[30:] = 1
    return mask


def test_an_object_with_another_class_is_one_whole_region():
    truth, predicted = canvas(), canvas()
    truth[5:25, 10:40] = 1
    predicted[5:25, 10:40] = 2
    (region,) = disagreeing_regions(truth, predicted, VOID)
    # Three pixels of either side of the boundary are left out.
    assert region == (1, 2, 14 * 24, 1.0, (13, 8, 24, 14))


def test_an_object_that_is_not_labelled_is_pure_too():
    truth, predicted = canvas(), canvas()
    predicted[5:15, 10:30] = 2
    (region,) = disagreeing_regions(truth, predicted, VOID)
    assert region == (0, 2, 200, 1.0, (10, 5, 20, 10))


def test_a_part_of_an_object_is_less_pure():
    truth, predicted = canvas(), canvas()
    truth[33:53, 10:70] = 2  # inside: 14×54, and the whole is this
    predicted[33:53, 10:40] = 2  # half of it is recognised
    (region,) = disagreeing_regions(truth, predicted, VOID)
    assert region[:3] == (2, 1, 14 * 27)
    assert region.purity == pytest.approx(14 * 27 / (14 * 54))


def test_the_border_void_and_small_regions_are_left_out():
    truth, predicted = canvas(), canvas()
    predicted[27:33] = 1 - predicted[27:33]  # three pixels of either side
    assert disagreeing_regions(truth, predicted, VOID) == []
    predicted = canvas()
    predicted[0:7, 0:9] = 2  # 63 pixels
    assert disagreeing_regions(truth, predicted, VOID) == []
    assert len(disagreeing_regions(truth, predicted, VOID, least=63)) == 1
    predicted[40:60, 40:80] = VOID
    truth[0:26] = VOID
    assert disagreeing_regions(truth, predicted, VOID) == []


def test_regions_agree_with_a_search_pixel_by_pixel():
    draws = np.random.default_rng(0)
    truth, predicted = (
        np.kron(draws.integers(0, 4, (5, 6)), np.ones((15, 15), int)).astype(np.uint8) for _ in range(2)
    )
    wanted = []
    padded = np.pad(truth, 3, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7))
    inside = (windows == truth[..., None, None]).all((2, 3)) & (truth != VOID) & (predicted != VOID)
    eight = np.ones((3, 3))
    for true in range(3):
        for other in {0, 1, 2} - {true}:
            regions, number = ndimage.label(inside & (truth == true) & (predicted == other), eight)
            for index in range(1, number + 1):
                rows, columns = np.nonzero(regions == index)
                shares = []
                for mask, of in ((truth, true), (predicted, other)):
                    wholes, _ = ndimage.label(mask == of, eight)
                    shares.append(len(rows) / (inside & (wholes == wholes[rows[0], columns[0]])).sum())
                box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
                if len(rows) >= 30:
                    wanted.append((true, other, len(rows), max(shares), box))
    assert len(wanted) > 5
    assert sorted(disagreeing_regions(truth, predicted, VOID, least=30)) == sorted(wanted)


def test_surprise_is_a_ratio_of_rates():
    confusion = np.array([[79, 19, 0], [9, 89, 0], [0, 0, 0]])
    found = surprise(confusion)
    # One is added to each count: rows of 101, 101 and 3.
    assert found[0, 1] == pytest.approx(math.log(90 / 101) - math.log(20 / 101))
    assert found[1, 0] == pytest.approx(math.log(80 / 101) - math.log(10 / 101))
    assert found[0, 2] == pytest.approx(math.log(1 / 3) - math.log(1 / 101))
    assert np.diag(found).tolist() == [0, 0, 0]
    # What is taken for p more often than p itself does not speak against a label.
    assert surprise(np.array([[5, 90], [60, 40]]))[0, 1] == 0


def test_a_rare_confusion_a_large_region_and_a_whole_object_rank_higher():
    confusion = np.array([[1000, 100, 1], [0, 1000, 0], [0, 0, 1000]])
    box = (0, 0, 1, 1)
    regions = [(0, 1, 400, 1.0, box), (0, 2, 400, 1.0, box), (0, 2, 100, 1.0, box), (0, 2, 400, 0.25, box)]
    common, rare, small, part = region_scores([Region(*each) for each in regions], confusion)
    assert rare > common > 0
    assert (small, part) == (pytest.approx(rare / 2), pytest.approx(rare / 4))
    assert region_scores([], confusion).tolist() == []


def test_images_are_candidates_by_the_thresholds_of_confident_learning():
    draws = np.random.default_rng(1)
    probabilities = draws.dirichlet(np.full(4, 0.5), 300)
    target = np.where(draws.random(300) < 0.7, probabilities.argmax(1), draws.integers(0, 3, 300))  # class 3 is rarer
    prediction, own = probabilities.argmax(1), probabilities[np.arange(300), target]
    scores = image_scores(target, prediction, probabilities.max(1), own, 4)
    for i in range(300):
        threshold = np.mean([probabilities[j, prediction[i]] for j in range(300) if target[j] == prediction[i]])
        candidate = prediction[i] != target[i] and probabilities[i, prediction[i]] >= threshold
        assert (scores[i] > 0) == candidate
    assert 5 < (scores > 0).sum() < 100


def test_a_class_without_images_is_no_candidate():
    scores = image_scores(np.array([0, 0]), np.array([0, 1]), np.array([0.9, 0.99]), np.array([0.9, 0.01]), 2)
    assert scores.tolist() == [0, 0]
