import numpy as np
import pytest

from reports.html.samples import described, histogram
from reports.html.selection import reasons, sample_scores
from tests.reports.html.conftest import AWKWARD


def scores_of(files):
    return sample_scores(files.matrices, files.samples["loss"] if files.predictions else None)


def why(files, threshold=0.5):
    return reasons(files.matrices, files.names, scores_of(files), threshold, files.predictions)


def test_scores_of_images_are_the_probabilities_of_their_true_class(images):
    # Of three classes, what is not given to the predicted one is spread evenly.
    assert scores_of(images) == pytest.approx([0.92, 0.1, 0.2, 0.72, 0.99, 0.52, 0.77, 0.3])


def test_scores_of_frames_are_their_own_mious_by_hand(masks):
    road, car = 5 / 9, 0  # of the second: road 5 of 5 + 4, car 0 of 4
    assert scores_of(masks) == pytest.approx([1, (road + car) / 2, (0.7 + 0) / 2])


def test_the_histogram_divides_images_into_right_and_wrong(images):
    bins = histogram(images, scores_of(images))
    assert (len(bins), sum(each["right"] for each in bins), sum(each["wrong"] for each in bins)) == (20, 5, 3)
    assert [(round(each["low"], 2), each["right"]) for each in bins if each["right"]] == [
        (0.5, 1), (0.7, 1), (0.75, 1), (0.9, 1), (0.95, 1),
    ]  # fmt: skip
    assert all(each["low"] < 0.35 for each in bins if each["wrong"])


def test_a_frame_without_truth_is_in_no_bin(masks):
    assert sum(each["right"] for each in histogram(masks, np.array([1.0, np.nan, 0.35]))) == 2


def test_the_worst_come_first_with_their_share_of_all_errors(masks):
    scores = scores_of(masks)
    first, second, third = described(masks, scores, why(masks))
    assert (first["name"], first["of_errors"]) == ("d/1", pytest.approx(4 / 7))
    assert first["why"] == ["worst", "car fails worst here", "car taken for road"]
    assert first["largest"] == {"truth": "car", "predicted": "road", "share": pytest.approx(4 / 9)}
    assert (second["name"], second["of_errors"]) == ("e/2", pytest.approx(3 / 7))
    assert (third["name"], third["of_errors"], third["largest"]) == ("d/0", 0, None)


def test_why_images_are_shown(images):
    found = why(images)
    mistake = f"a most confident mistake on {AWKWARD}"
    assert found[1] == ["worst", f"{AWKWARD} taken for green & blue", mistake, "most uncertain"]
    assert found[7][-1] == "most uncertain"
    assert set(found) <= set(range(8))
