"""The scores beside a model's, from an evaluation made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from label_spaces.space import LabelSpace
from metrics.counts import Counts, Predictions
from metrics.per_sample import image_matrices
from reports.evaluation import Evaluation, baselines

TARGET = np.array([0, 1, 2, 1])
MATRICES = image_matrices(TARGET, TARGET, 3)
COUNTS = Counts(
    np.diag([1, 2, 1, 0]),
    np.arange(4),
    MATRICES,
    np.full(4, 0.5),
    np.ones(4, int),
    Predictions(TARGET, TARGET, np.ones(4)),
)


@pytest.fixture
def evaluation():
    """Four samples of three classes; of 100 training samples the third is the commonest, of those that are fitted the first."""
    fitted = np.array([0, 0, 0, 1, 1, 2, 2])
    corners = np.array([[200.0, 30, 30], [30, 200, 30], [30, 30, 200]])
    return Evaluation(
        task="classification", split="test", label_space=LabelSpace("toy", ("red", "green", "blue")), run="run", checkpoint={},
        split_sha256="", resolution=(8, 8), n_expected=4, samples=[], training_counts=[20, 30, 50], counts=COUNTS,
        fitted_target=fitted,
        features={"mean_colour": (corners[fitted], corners[TARGET]), "box_size": (np.ones((7, 2)), np.ones((4, 2)))},
    )  # fmt: skip


def test_the_commonest_class_is_that_of_all_and_features_tell_what_they_tell(evaluation):
    found = baselines(evaluation)
    assert list(found) == ["majority", "mean_colour", "box_size"]
    assert found["majority"]["accuracy"] == 0.25  # blue, once
    assert found["mean_colour"] == {"accuracy": 1.0, "f1_macro": 1.0, "f1_weighted": 1.0}
    assert found["box_size"]["accuracy"] == 0.25  # always the same: red, which most of the fitted are


def test_without_features_there_is_the_commonest_class(evaluation):
    plain = replace(evaluation, features={}, fitted_target=np.empty(0, dtype=np.int64))
    assert list(baselines(plain)) == ["majority"]
    assert baselines(plain)["majority"] == baselines(evaluation)["majority"]
