"""The scores of predictors without a network, which a trained model has to beat."""

from collections.abc import Mapping

import numpy as np
import torch

from metrics.counting import confusion_matrix
from metrics.scores import headline_of


def logistic(train_features: np.ndarray, train_target: np.ndarray, test_features: np.ndarray) -> np.ndarray:
    """Predict (M,) int64 classes by logistic regression on d standardised features, (N, d) and (M, d) finite numbers."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(train_target)) == 1:
        return np.full(len(test_features), train_target[0], dtype=np.int64)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return np.asarray(model.fit(train_features, train_target).predict(test_features), dtype=np.int64)


def baseline_scores(
    train_target: np.ndarray,
    test_target: np.ndarray,
    num_classes: int,
    features: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> dict[str, dict[str, float | int | None]]:
    """Score the majority and a logistic regression on each set of features, by the rules of `metrics.scores`.

    Targets are (N,) and (M,) class indices; void (num_classes) is neither fitted to nor scored. `features` are by name, such
    as "mean_colour", the (N, d) training and (M, d) test features. Returns `{name: {accuracy, f1_macro, f1_weighted}}`,
    "majority" first; empty where there is nothing to fit to. Raises ValueError for features called "majority".
    """
    if "majority" in (features or {}):
        raise ValueError(
            "a baseline's features are called majority, as the most frequent class is; call them otherwise"
        )
    known = train_target < num_classes
    if not known.any():
        return {}
    commonest = np.bincount(train_target[known]).argmax()  # of equally common ones the first
    predictions = {"majority": np.full(len(test_target), commonest)}
    for name, (train, test) in (features or {}).items():
        predictions[name] = logistic(train[known], train_target[known], test)
    scores = {}
    for name, prediction in predictions.items():
        confusion = confusion_matrix(torch.as_tensor(prediction), torch.as_tensor(test_target), num_classes)
        scores[name] = headline_of(confusion, "classification")
    return scores
