import numpy as np
import pytest

from reports.html.samples import histogram, listed_samples, most_confident_mistakes, most_uncertain, sample_scores


def test_scores_of_images_are_the_probabilities_of_their_true_class(images):
    # Of three classes, what is not given to the predicted one is spread evenly.
    assert sample_scores(images) == pytest.approx([0.92, 0.1, 0.2, 0.72, 0.99, 0.52, 0.77, 0.3])


def test_scores_of_frames_are_their_own_mious_by_hand(masks):
    road, car = 5 / 9, 0  # of the second: road 5 of 5 + 4, car 0 of 4
    assert sample_scores(masks) == pytest.approx([1, (road + car) / 2, (0.7 + 0) / 2])


def test_the_histogram_divides_images_into_right_and_wrong(images):
    bins = histogram(images, sample_scores(images))
    assert (len(bins), sum(each["right"] for each in bins), sum(each["wrong"] for each in bins)) == (20, 5, 3)
    assert [(round(each["low"], 2), each["right"]) for each in bins if each["right"]] == [
        (0.5, 1), (0.7, 1), (0.75, 1), (0.9, 1), (0.95, 1),
    ]  # fmt: skip
    assert all(each["low"] < 0.35 for each in bins if each["wrong"])


def test_a_frame_without_truth_is_in_no_bin_and_in_no_list(masks):
    scores = np.array([1.0, np.nan, 0.35])
    assert sum(each["right"] for each in histogram(masks, scores)) == 2
    assert [each["name"] for each in listed_samples(masks, scores)] == ["e/2", "d/0"]


def test_the_worst_come_first_with_their_share_of_all_errors(masks):
    first, second, third = listed_samples(masks, sample_scores(masks))
    assert (first["name"], first["why"], first["of_errors"]) == ("d/1", "worst", pytest.approx(4 / 7))
    assert first["largest"] == {"truth": "car", "predicted": "road", "share": pytest.approx(4 / 9)}
    assert (second["name"], second["of_errors"]) == ("e/2", pytest.approx(3 / 7))
    assert (third["name"], third["of_errors"], third["largest"]) == ("d/0", 0, None)


def test_confident_mistakes_and_uncertain_images(images):
    scores = sample_scores(images)
    mistakes = most_confident_mistakes(images, scores)
    assert [(each["name"], round(each["probability"], 3)) for each in mistakes] == [
        ("b/1", 0.8),
        ("a/2", 0.6),
        ("b/7", 0.4),
    ]
    assert [each["name"] for each in most_uncertain(images, scores)][:3] == ["b/7", "b/5", "a/2"]
