import json
import time

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn import metrics as sklearn_metrics

from metrics.intervals import jackknife_intervals
from metrics.scores import (
    SCORES,
    TASKS,
    class_scores,
    f1,
    headline_scores,
    iou,
    mean_scores,
    means,
    precision,
    recall,
    register_score,
)

MEANS_OVER_CLASSES = {"f1_macro", "f1_weighted", "precision_macro", "recall_macro", "miou", "miou_present", "fwiou"}


def random_samples(num_classes, case, rng):
    """Truth and prediction with void; in some cases classes that are never true, never predicted, or neither."""
    truth_p, prediction_p = rng.random((2, num_classes + 1)) + 0.05
    if case != "all":
        truth_p[0] = 0
    if case == "never_true_or_predicted":
        prediction_p[0] = 0
    if case == "never_predicted":
        prediction_p[1] = 0
    if case == "no_void":
        truth_p[-1] = prediction_p[-1] = 0
    truth = rng.choice(num_classes + 1, 400, p=truth_p / truth_p.sum())
    other = rng.choice(num_classes + 1, 400, p=prediction_p / prediction_p.sum())
    return truth, np.where((rng.random(400) < 0.5) & (prediction_p[truth] > 0), truth, other)


def by_sklearn(truth, prediction, num_classes):
    """(means, per class): every score by sklearn. Void truth is dropped, void predictions are an id of their own.

    What is undefined is nan.
    """
    labels, kept = np.arange(num_classes), truth < num_classes
    y, p = truth[kept], prediction[kept]
    present, occurring = np.unique(y), np.array([c for c in labels if (y == c).any() or (p == c).any()])
    found = sklearn_metrics.precision_recall_fscore_support(y, p, labels=labels, zero_division=np.nan)
    columns = dict(zip(("precision", "recall", "f1", "support"), found, strict=True))
    columns["iou"] = sklearn_metrics.jaccard_score(y, p, labels=labels, average=None, zero_division=0)
    for name in ("iou", "f1"):
        columns[name] = np.where(np.isin(labels, occurring), columns[name], np.nan)
    columns["predicted"] = np.array([(p == c).sum() for c in labels])
    over, only = {"labels": occurring, "zero_division": 0}, {"labels": present, "zero_division": 0}
    means = {
        "accuracy": sklearn_metrics.accuracy_score(y, p),
        "f1_macro": sklearn_metrics.f1_score(y, p, average="macro", **over),
        "f1_weighted": sklearn_metrics.f1_score(y, p, average="weighted", **over),
        "precision_macro": sklearn_metrics.precision_score(y, p, average="macro", **over),
        "recall_macro": sklearn_metrics.recall_score(y, p, average="macro", **only),
        "miou": sklearn_metrics.jaccard_score(y, p, average="macro", **over),
        "miou_present": sklearn_metrics.jaccard_score(y, p, average="macro", **only),
        "fwiou": sklearn_metrics.jaccard_score(y, p, average="weighted", **over),
        "void_rate": (p == num_classes).mean(),
    }
    over_occurring = {"f1_macro", "precision_macro", "miou"}
    counts = {f"{key}_classes": len(occurring if key in over_occurring else present) for key in MEANS_OVER_CLASSES}
    return {**means, **counts}, columns


def assert_equals_sklearn(means, classes, truth, prediction, num_classes):
    """Compare what `mean_scores` and `class_scores` gave."""
    expected, columns = by_sklearn(truth, prediction, num_classes)
    assert means == pytest.approx(expected, rel=1e-12)
    for key, column in columns.items():
        got = np.array([row[key] for row in classes], dtype=float)  # None becomes nan
        np.testing.assert_allclose(got, column, rtol=1e-12, err_msg=key)


@pytest.mark.parametrize("case", ["all", "never_true", "never_predicted", "never_true_or_predicted", "no_void"])
@pytest.mark.parametrize("num_classes", [2, 5, 26])
def test_equals_sklearn(num_classes, case):
    truth, prediction = random_samples(num_classes, case, np.random.default_rng(num_classes))
    matrix = sklearn_metrics.confusion_matrix(truth, prediction, labels=range(num_classes + 1))
    classes = class_scores(matrix, list("abcdefghijklmnopqrstuvwxyz"[:num_classes]))
    assert_equals_sklearn(mean_scores(matrix), classes, truth, prediction, num_classes)


@pytest.mark.parametrize("seed", range(30))
def test_random_matrices_equal_sklearn(seed):
    """Of random sizes, with few cells filled: classes that are absent, never predicted, or only mistaken are common."""
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(1, 27))
    matrix = rng.integers(0, 9, (num_classes + 1, num_classes + 1)) * (
        rng.random((num_classes + 1,) * 2) < rng.random()
    )
    matrix[rng.integers(num_classes), rng.integers(num_classes + 1)] += 1  # there is some truth
    truth, prediction = (np.repeat(grid.ravel(), matrix.ravel()) for grid in np.indices(matrix.shape))
    classes = class_scores(matrix, list("abcdefghijklmnopqrstuvwxyz"[:num_classes]))
    assert_equals_sklearn(mean_scores(matrix), classes, truth, prediction, num_classes)


def test_by_hand():
    # Classes a, b, c, d and void. c is predicted but never true; d is neither. Void truth does not count.
    matrix = np.array([[6, 2, 1, 0, 1], [1, 3, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [9, 9, 9, 9, 9]])
    a, b, c, d = class_scores(matrix, "abcd")
    assert a == {
        "name": "a",
        "iou": 6 / 11,
        "precision": 6 / 7,
        "recall": 0.6,
        "f1": 12 / 17,
        "support": 10,
        "predicted": 7,
    }
    assert b == {"name": "b", "iou": 0.5, "precision": 0.6, "recall": 0.75, "f1": 6 / 9, "support": 4, "predicted": 5}
    assert c == {"name": "c", "iou": 0.0, "precision": 0.0, "recall": None, "f1": 0.0, "support": 0, "predicted": 1}
    assert d == {"name": "d", "iou": None, "precision": None, "recall": None, "f1": None, "support": 0, "predicted": 0}
    scores = mean_scores(matrix)
    assert scores == pytest.approx(
        {
            "accuracy": 9 / 14,
            "f1_macro": (12 / 17 + 6 / 9 + 0) / 3,
            "f1_macro_classes": 3,
            "f1_weighted": (10 * 12 / 17 + 4 * 6 / 9) / 14,
            "f1_weighted_classes": 2,
            "precision_macro": (6 / 7 + 0.6 + 0) / 3,
            "precision_macro_classes": 3,
            "recall_macro": (0.6 + 0.75) / 2,
            "recall_macro_classes": 2,
            "miou": (6 / 11 + 0.5 + 0) / 3,
            "miou_classes": 3,
            "miou_present": (6 / 11 + 0.5) / 2,
            "miou_present_classes": 2,
            "fwiou": (10 * 6 / 11 + 4 * 0.5) / 14,
            "fwiou_classes": 2,
            "void_rate": 1 / 14,
        }
    )
    assert all(type(value) in (int, float) for value in scores.values())


def test_a_class_never_predicted_costs_precision_macro():
    matrix = np.array([[4, 0, 0], [2, 0, 2], [0, 0, 0]])
    assert [row["precision"] for row in class_scores(matrix, "ab")] == [4 / 6, None]
    assert mean_scores(matrix)["precision_macro"] == pytest.approx((4 / 6 + 0) / 2)


def test_void_predictions_cost_everything_but_precision():
    without, with_void = (
        torch.tensor([[8, 2, 0], [3, 7, 0], [0, 0, 0]]),
        torch.tensor([[8, 2, 5], [3, 7, 5], [0, 0, 0]]),
    )
    assert torch.equal(precision(without), precision(with_void))
    for score in (iou, f1, recall):
        assert (score(with_void) < score(without)).all()


def test_without_truth_nothing_is_defined():
    matrix = np.array([[0, 0, 0], [0, 0, 0], [5, 4, 3]])
    scores = mean_scores(matrix)
    assert {key: value for key, value in scores.items() if not key.endswith("_classes")} == dict.fromkeys(
        {"accuracy", "void_rate"} | MEANS_OVER_CLASSES
    )
    assert {value for key, value in scores.items() if key.endswith("_classes")} == {0}
    assert json.loads(json.dumps(class_scores(matrix, "ab")))[0]["iou"] is None


def test_f1_is_dice_of_iou():
    matrix = torch.randint(0, 100, (9, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(f1(matrix), 2 * iou(matrix) / (1 + iou(matrix)))


def test_many_matrices_at_once_are_scored_as_one_by_one():
    matrices = torch.randint(0, 3, (20, 5, 5), generator=torch.Generator().manual_seed(0))
    together = means(matrices)
    for i, matrix in enumerate(matrices):
        one = mean_scores(matrix)
        assert {key: value[i].item() for key, value in together.items()} == pytest.approx(
            {key: one[key] for key in together}
        )


def test_the_classes_of_another_matrix_can_be_kept():
    full = torch.tensor([[4, 0, 0], [0, 4, 0], [0, 0, 0]])
    first_only = torch.tensor([[4, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert means(first_only)["miou"] == 1
    assert means(first_only, classes_of=full)["miou"] == 0.5


def test_counts_beyond_single_precision_are_exact():
    big = 2**24 + 1
    assert mean_scores(np.array([[big, 1, 0], [0, 1, 0], [0, 0, 0]]))["accuracy"] == (big + 1) / (big + 2)


def test_a_wrong_number_of_names_is_refused():
    with pytest.raises(ValueError, match="3 class names for a matrix of 2 classes"):
        class_scores(np.zeros((3, 3)), "abc")


def test_quick_enough_for_every_epoch():
    matrix = torch.randint(0, 50, (12, 12))
    seconds = []
    for _ in range(20):
        start = time.process_time()
        mean_scores(matrix)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1e-3


@pytest.fixture
def registered():
    """Register Cohen's kappa and the mean of 1 - IoU, as a package of one's own would, for one test."""

    @register_score("kappa", headline=("classification",), lowest=-1)
    def kappa(confusion):
        confusion = confusion[..., :-1, :-1].double()
        total = confusion.sum((-2, -1))
        observed = confusion.diagonal(dim1=-2, dim2=-1).sum(-1) / total
        expected = (confusion.sum(-1) * confusion.sum(-2)).sum(-1) / total**2
        return (observed - expected) / (1 - expected)

    register_score("jaccard_distance", over="present", higher_is_better=False)(lambda confusion: 1 - iou(confusion))
    yield
    del SCORES["kappa"], SCORES["jaccard_distance"]


@pytest.mark.usefixtures("registered")
def test_a_registered_score_is_one_of_the_scores():
    rng = np.random.default_rng(0)
    truth, prediction = random_samples(4, "no_void", rng)
    matrix = np.zeros((5, 5), np.int64)
    np.add.at(matrix, (truth, prediction), 1)
    found = mean_scores(matrix)
    present = matrix[:4].sum(1) > 0
    distance = 1 - sklearn_metrics.jaccard_score(truth, prediction, labels=np.flatnonzero(present), average="macro")
    assert found["kappa"] == pytest.approx(sklearn_metrics.cohen_kappa_score(truth, prediction))
    assert found["jaccard_distance"] == pytest.approx(distance)
    assert found["jaccard_distance_classes"] == present.sum()
    assert list(found)[-3:] == ["kappa", "jaccard_distance", "jaccard_distance_classes"]
    assert headline_scores("classification") == ("accuracy", "f1_macro", "f1_weighted", "kappa", "jaccard_distance")
    assert "kappa" not in headline_scores("segmentation")


@pytest.mark.usefixtures("registered")
def test_a_registered_score_has_an_interval_within_its_bounds():
    draws = np.random.default_rng(0)
    drives = draws.integers(0, 9, (5, 16))
    drives[:, [0, 5, 10]] = 1  # worse than chance
    found = jackknife_intervals(csr_array(drives))
    assert -1 <= found["kappa"][0] < 0
    assert found["jaccard_distance"][1] <= 1


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match="there is a score miou already"):
        register_score("miou")(iou)


def test_the_headline_scores_of_each_task():
    assert headline_scores("classification") == ("accuracy", "f1_macro", "f1_weighted")
    assert headline_scores("segmentation") == ("accuracy", "miou", "fwiou")
    assert headline_scores(*TASKS) == ("accuracy", "f1_macro", "f1_weighted", "miou", "fwiou")
    assert [name for name, score in SCORES.items() if not score.higher_is_better] == ["void_rate"]


@pytest.mark.parametrize("name", ["miou", "loss", "classes", "support", "miou_expressible", "kappa_classes"])
def test_a_score_may_not_have_the_name_of_another_key(name):
    with pytest.raises(ValueError, match=f"{name} already; register yours under another name"):
        register_score(name)(lambda confusion: confusion.sum((-2, -1)))
