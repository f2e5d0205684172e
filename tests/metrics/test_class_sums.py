import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from metrics import scores
from metrics.class_sums import MEANS, PER_CLASS, class_scores, image_scores, mean_scores, sums_by_group
from metrics.counting import image_matrices
from metrics.counts import merge_samples
from metrics.per_image import image_mious


def evaluated(seed=0, num_classes=4, count=60):
    """Classes, predictions (some void, one class never true) and drives of single samples, and their sparse matrices."""
    draws = np.random.default_rng(seed)
    target = draws.integers(0, num_classes - 1, count)
    prediction = np.where(draws.random(count) < 0.6, target, draws.integers(0, num_classes + 1, count))
    return target, prediction, draws.integers(0, 5, count), image_matrices(target, prediction, num_classes)


def summed(num_classes=4, seed=0):
    target, prediction, group, matrices = evaluated(seed, num_classes)
    cells = matrices.indptr, matrices.indices, matrices.data
    return target, prediction, group, sums_by_group(group, *cells, num_classes)


def test_sums_are_those_of_counting_one_by_one():
    target, prediction, group, sums = summed()
    for drive in range(5):
        true, predicted = target[group == drive], prediction[group == drive]
        for name in range(4):
            expected = [((true == name) & (predicted == name)).sum(), (true == name).sum(), (predicted == name).sum()]
            assert sums[drive, :, name].tolist() == expected


def test_rows_without_truth_are_left_out():
    # Two classes and void: cells 0·3+1, and of void truth 2·3+0.
    sums = sums_by_group(np.array([0]), np.array([0, 2]), np.array([1, 6]), np.array([5, 7]), 2)
    assert sums.tolist() == [[[0, 0], [5, 0], [0, 5]]]


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_matrix(seed):
    _, _, _, sums = summed(seed=seed)
    matrix = torch.from_numpy(evaluated(seed)[3].sum(axis=0).reshape(5, 5))
    expected = {name: value.item() for name, value in scores.means(matrix).items()}
    found = mean_scores(sums.sum(0))
    assert set(found) == {"accuracy", "void_rate", *MEANS}
    assert {name: float(value) for name, value in found.items()} == pytest.approx({name: expected[name] for name in found})  # fmt: skip
    for name in PER_CLASS:
        of_matrix = {"iou": scores.iou, "precision": scores.precision, "recall": scores.recall, "f1": scores.f1}[name]
        assert class_scores(sums.sum(0), name) == pytest.approx(of_matrix(matrix).numpy(), nan_ok=True)


def test_scores_are_sklearns():
    target, prediction, _, sums = summed()
    labels = {"labels": range(4), "zero_division": 0}
    found = mean_scores(sums.sum(0))
    assert found["f1_macro"] == pytest.approx(sklearn_metrics.f1_score(target, prediction, average="macro", **labels))
    assert found["miou"] == pytest.approx(sklearn_metrics.jaccard_score(target, prediction, average="macro", **labels))


def test_the_classes_of_a_mean_can_be_those_of_other_sums():
    sums = np.zeros((3, 2))
    sums[:, 0] = 4  # the second class does not occur here, but in all drives together
    everything = sums + np.array([[0, 0], [0, 2], [0, 0]])
    assert mean_scores(sums)["miou"] == 1
    assert mean_scores(sums, everything)["miou"] == 0.5
    assert np.isnan(class_scores(sums, "iou")[1])


def test_scores_of_single_images_are_those_of_their_own_matrices():
    target, prediction, _, _ = evaluated(count=60)
    target[7:9] = 4  # two without truth
    samples = image_matrices(target, prediction, 4)
    # Three samples of twenty elements each would be merged by their matrices; here each sample has one element, or three.
    triples = merge_samples(samples[0::3] + samples[1::3] + samples[2::3], range(5), range(5))
    for each in (samples, triples):
        for step in (1000, 7):
            mious, wrong = image_scores(each.indptr, each.indices, each.data, 4, step)
            np.testing.assert_allclose(mious, image_mious(each))
            dense = each.toarray().reshape(-1, 5, 5)[:, :4]
            assert wrong.tolist() == [int(m.sum() - np.trace(m[:, :4])) for m in dense]
    assert np.isnan(image_scores(samples.indptr, samples.indices, samples.data, 4)[0][7:9]).all()
