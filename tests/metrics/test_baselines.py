import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.dummy import DummyClassifier

from metrics.baselines import baseline_scores, logistic


def data(seed=0):
    """Three classes whose first feature tells them apart (on a scale of its own); the second is noise."""
    rng = np.random.default_rng(seed)
    target = rng.choice(3, 300, p=[0.2, 0.5, 0.3])
    return target, np.stack([1e-3 * (target + rng.normal(0, 0.15, 300)), 1e3 * rng.normal(size=300)], axis=1)


def test_majority_equals_sklearn():
    (train, features), (test, _) = data(0), data(1)
    expected = DummyClassifier(strategy="most_frequent").fit(features, train)
    assert baseline_scores(train, test, 3)["majority"]["accuracy"] == expected.score(features, test)


def test_of_equally_common_classes_the_first():
    assert baseline_scores(np.array([2, 1, 2, 1, 0]), np.array([1, 2, 1]), 3)["majority"]["accuracy"] == 2 / 3


def test_informative_features_are_used_whatever_their_scale():
    (train, features), (test, test_features) = data(0), data(1)
    assert (logistic(features, train, test_features) == test).mean() > 0.95
    assert (logistic(features[:, 1:], train, test_features[:, 1:]) == test).mean() < 0.6


def test_one_training_class_is_the_answer():
    assert logistic(np.zeros((3, 2)), np.full(3, 4), np.ones((2, 2))).tolist() == [4, 4]


def test_scores_by_name_without_void():
    (train, features), (test, test_features) = data(0), data(1)
    train, test = train.copy(), test.copy()
    train[:150], test[:20] = 3, 3
    scores = baseline_scores(train, test, 3, {"first": (features[:, :1], test_features[:, :1])})
    assert list(scores) == ["majority", "first"]
    scored, always_1 = test[20:], np.ones(280, dtype=int)
    assert scores["majority"] == pytest.approx(
        {
            "accuracy": (scored == 1).mean(),
            "f1_macro": sklearn_metrics.f1_score(scored, always_1, average="macro"),
            "f1_weighted": sklearn_metrics.f1_score(scored, always_1, average="weighted"),
        }
    )
    assert scores["first"]["accuracy"] > 0.95


def test_nothing_to_learn_from():
    assert baseline_scores(np.array([3, 3]), np.array([0, 1]), 3) == {}


def test_features_may_not_be_called_as_the_majority():
    (train, features), (test, test_features) = data(0), data(1)
    with pytest.raises(ValueError, match="features are called majority"):
        baseline_scores(train, test, 3, {"majority": (features, test_features)})
