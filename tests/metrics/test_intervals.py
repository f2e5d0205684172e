import time

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.sparse import csr_array
from sklearn import metrics as sklearn_metrics

from metrics.counting import image_matrices
from metrics.intervals import (
    groups_with_support,
    jackknife_intervals,
    sum_by_group,
    wilson,
)
from metrics.scores import means


def classified(count, num_classes, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, num_classes, count)
    return target, np.where(rng.random(count) < 0.7, target, rng.integers(0, num_classes + 1, count))


def naive_jackknife(target, prediction, groups, score):
    """The textbook: leave out each group, score the rest; t on the effective number of groups - 1."""
    whole = score(target, prediction)
    names, sizes = np.unique(groups, return_counts=True)
    without = np.array([score(target[groups != name], prediction[groups != name]) for name in names])
    error = np.sqrt((len(names) - 1) / len(names) * ((without - whole) ** 2).sum())
    reach = stats.t.ppf(0.975, sizes.sum() ** 2 / (sizes**2).sum() - 1) * error
    return [max(0, whole - reach), min(1, whole + reach)]


def weighted_f1(target, prediction):
    return sklearn_metrics.f1_score(target, prediction, labels=range(4), average="weighted")


def mean_iou(target, prediction):
    return sklearn_metrics.jaccard_score(target, prediction, labels=range(4), average="macro")


@pytest.mark.parametrize("name_of_group", [lambda i: f"drive{i % 7 % 5}", lambda i: i], ids=["drives", "samples"])
@pytest.mark.parametrize(("name", "score"), [("f1_weighted", weighted_f1), ("miou", mean_iou)])
def test_equals_leaving_groups_out_one_by_one(name, score, name_of_group):
    target, prediction = classified(90, 4)
    groups = np.array([name_of_group(i) for i in range(90)])
    intervals = jackknife_intervals(sum_by_group(image_matrices(target, prediction, 4), groups))
    assert intervals[name] == pytest.approx(naive_jackknife(target, prediction, groups, score), rel=1e-9)


def test_accuracy_of_single_samples_is_wilsons():
    # Jackknifing a mean of single samples gives the variance s²/n, that is p(1-p)/(n-1): the effective number is n - 1.
    target, prediction = classified(300, 3)
    right = int((target == prediction).sum())
    low, high = jackknife_intervals(image_matrices(target, prediction, 3))["accuracy"]
    expected = wilson(right / 300, 299, stats.t.ppf(0.975, 299))
    assert [low, high] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("right", "count"), [(0, 12), (7, 12), (12, 12), (450, 500)])
def test_wilson_equals_scipy(right, count):
    expected = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right / count, count, stats.norm.ppf(0.975)) == pytest.approx(list(expected), abs=1e-12)


def test_perfect_scores_are_as_sure_as_the_groups_are_many():
    target = np.zeros(40, dtype=np.int64)
    low, high = jackknife_intervals(sum_by_group(image_matrices(target, target, 2), np.arange(40) % 8))["accuracy"]
    assert [low, high] == pytest.approx(wilson(1.0, 8, stats.t.ppf(0.975, 7)))


def test_undefined_is_none():
    target, prediction = classified(30, 3)
    one_group = sum_by_group(image_matrices(target, prediction, 3), np.zeros(30))
    assert set(jackknife_intervals(one_group).values()) == {None}
    # Groups whose truth is void are no groups; a score without a value has no interval.
    void = np.full(30, 3)
    assert set(jackknife_intervals(image_matrices(void, prediction, 3)).values()) == {None}
    half = sum_by_group(image_matrices(np.append(target, void), np.append(prediction, void), 3), np.repeat([0, 1], 30))
    assert set(jackknife_intervals(half).values()) == {None}
    recall_of_absent = jackknife_intervals(
        image_matrices(target, prediction, 5), lambda m: {"x": m[..., 4, 4] / m[..., 4, :].sum(-1)}
    )
    assert recall_of_absent == {"x": None}


def test_other_statistics_and_levels(monkeypatch):
    target, prediction = classified(200, 3)
    matrices = image_matrices(target, prediction, 3)
    monkeypatch.setattr("metrics.intervals.LEVEL", 0.99)
    wide = jackknife_intervals(matrices, lambda m: {"f": means(m)["f1_macro"]})["f"]
    monkeypatch.setattr("metrics.intervals.LEVEL", 0.9)
    narrow = jackknife_intervals(matrices)["f1_macro"]
    assert (wide[1] - wide[0]) / (narrow[1] - narrow[0]) == pytest.approx(
        stats.t.ppf(0.995, 199) / stats.t.ppf(0.95, 199), rel=1e-6
    )


def test_intervals_stay_within_0_and_1():
    target = np.array([0, 0, 1, 1, 2])
    intervals = jackknife_intervals(image_matrices(target, np.array([0, 0, 1, 1, 0]), 3)).values()
    assert all(0 <= low <= high <= 1 for low, high in intervals)


def test_groups_with_support():
    target, prediction = np.array([0, 0, 1, 1, 3]), np.array([2, 2, 2, 2, 2])
    matrices = sum_by_group(image_matrices(target, prediction, 3), np.array(["a", "b", "b", "b", "c"]))
    assert groups_with_support(matrices).tolist() == [2, 1, 0]


@pytest.mark.parametrize("grouped", [False, True])
def test_quick(grouped):
    target, prediction = classified(2000, 12)
    groups = np.arange(2000) // (2 if grouped else 1)
    jackknife_intervals(image_matrices(target[:9], prediction[:9], 12))
    start = time.process_time()
    jackknife_intervals(sum_by_group(image_matrices(target, prediction, 12), groups))
    assert time.process_time() - start < 0.5


def simulate_drives(rng, num_classes, drives, presence, size):
    """Drives that hold some classes; how well each is recognised varies by drive, with intraclass correlation 1/3."""
    ability = rng.beta(1.5, 0.5, (drives, num_classes))
    counts = rng.poisson(size, (drives, num_classes)) * (rng.random((drives, num_classes)) < presence)
    right = rng.binomial(counts, ability)
    matrices = rng.multinomial(counts - right, confusions(num_classes, presence))
    matrices[:, range(num_classes), range(num_classes)] += right
    return np.concatenate([matrices, np.zeros((drives, 1, num_classes + 1), dtype=np.int64)], axis=1)


def confusions(num_classes, presence):
    """What a class is taken for when it is missed: others as they are common, sometimes void; never itself."""
    shares = np.append(presence / presence.sum(), 0.05) * np.ones((num_classes, 1))
    np.fill_diagonal(shares, 0)
    return shares / shares.sum(1, keepdims=True)


def coverage(num_classes, drives, presence, repeats, size=20):
    rng = np.random.default_rng(0)
    missed = 0.25 * presence[:, None] * confusions(num_classes, presence)
    limit = torch.zeros(num_classes + 1, num_classes + 1, dtype=torch.float64)
    limit[:-1] = torch.from_numpy(missed)
    limit[range(num_classes), range(num_classes)] += torch.from_numpy(0.75 * presence)
    held = dict.fromkeys(means(limit), 0)
    for _ in range(repeats):
        matrices = simulate_drives(rng, num_classes, drives, presence, size)
        truth = means(limit, classes_of=torch.from_numpy(matrices.sum(0)))
        for name, (low, high) in jackknife_intervals(csr_array(matrices.reshape(drives, -1))).items():
            held[name] += low <= truth[name].item() <= high
    return {name: hits / repeats for name, hits in held.items()}


def check_coverage(shares):
    del shares["void_rate"]  # a few events per simulation: its share is as coarse as they are
    assert min(shares.values()) >= 0.90, shares
    assert max(shares.values()) <= 0.99, shares


def test_coverage_with_drives_that_resemble_themselves():
    check_coverage(coverage(5, 25, np.full(5, 0.8), repeats=300))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_classes", "drives", "presence"),
    [(6, 12, np.full(6, 0.9)), (11, 30, np.geomspace(1, 0.3, 11)), (26, 60, np.geomspace(1, 0.12, 26))],
    ids=["few drives", "crops", "rare classes"],
)
def test_coverage_at_length(num_classes, drives, presence):
    check_coverage(coverage(num_classes, drives, presence, repeats=1500))
