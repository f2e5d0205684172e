"""Which samples of an evaluation are shown: the worst, middle and best, where classes fail, and where they are confused."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from label_spaces.space import VOID
from metrics.counts import Predictions, merge_samples
from metrics.per_image import image_mious
from metrics.scores import iou

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORST, MIDDLE, BEST = 10, 3, 3  # samples by their score
LARGEST, OF_EACH = 10, 2  # confusions, and samples of each
CONFIDENT, UNCERTAIN = 2, 6  # mistakes per class, and images of classification


def by_score(scores: NDArray[np.float64]) -> dict[int, str]:
    """Return the rows of the ``worst``, ``median`` and ``best`` of (N,) scores, in this order; nan is none of them."""
    order = np.argsort(scores, kind="stable")[: int((~np.isnan(scores)).sum())].tolist()  # nan is sorted to the end
    middle = max(0, (len(order) - MIDDLE) // 2)
    groups = {"worst": order[:WORST], "median": order[middle : middle + MIDDLE], "best": order[::-1][:BEST]}
    found: dict[int, str] = {}
    for place, rows in groups.items():
        found |= {row: place for row in rows if row not in found}
    return found


def largest_pairs(confusion: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the ten pairs of truth and prediction, void included, with the most errors in (C+1, C+1) counts."""
    errors = confusion[:-1].copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors.ravel(), kind="stable")[:LARGEST].tolist()
    return [divmod(cell, errors.shape[1]) for cell in order if errors.ravel()[cell]]


def worst_rows(
    matrices: "csr_array", truth: int, predicted: int, confidence: NDArray[np.float32] | None = None
) -> list[int]:
    """Return the two samples with the most elements of one class that are predicted as another; of images the most confident.

    `matrices` are (N, (C+1)²) sparse counts; likewise below.
    """
    cell = truth * math.isqrt(matrices.shape[1]) + predicted
    amount = matrices[:, [cell]].toarray().ravel() * (1.0 if confidence is None else confidence)
    order = np.argsort(-amount, kind="stable")[:OF_EACH].tolist()
    return [row for row in order if amount[row] > 0]


def failing(matrices: "csr_array", threshold: float) -> dict[int, int]:
    """Return the row in which each class with an IoU up to `threshold` has most errors, missed or wrong, by class."""
    side = math.isqrt(matrices.shape[1])
    known = matrices[:, : side * (side - 1)]
    hits = known[:, :: side + 1].toarray()
    support = merge_samples(known, range(side - 1), [0] * side).toarray()
    predicted = merge_samples(known, [0] * (side - 1), range(side)).toarray()[:, :-1]
    wrong = support + predicted - 2 * hits
    worst = wrong.argmax(axis=0)
    values = iou(torch.from_numpy(_confusion(matrices))).tolist()
    return {c: int(worst[c]) for c in range(side - 1) if values[c] <= threshold and wrong[worst[c], c]}  # nan is not


def confident_mistakes(
    target: NDArray[np.int64], prediction: NDArray[np.int64], probability: NDArray[np.float32]
) -> dict[int, list[int]]:
    """Return for each class the images of it that are most confidently predicted as another, by class."""
    order = np.argsort(-probability, kind="stable")
    wrong = order[(target != prediction)[order]]
    return {c: wrong[target[wrong] == c][:CONFIDENT].tolist() for c in np.unique(target).tolist()}


def uncertain(probability: NDArray[np.float32]) -> list[int]:
    """Return the images whose prediction has the lowest probability."""
    return [int(row) for row in np.argsort(probability, kind="stable")[:UNCERTAIN]]


def sample_scores(matrices: "csr_array", loss: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
    """Return (N,) a score in 0–1 of each sample, nan without truth: a mask's own mIoU, or an image's probability of its true class.

    The latter follows from `loss`, the cross-entropy of images.
    """
    return image_mious(matrices) if loss is None else np.exp(-loss.astype(np.float64))


def reasons(
    matrices: "csr_array",
    names: Sequence[str],
    scores: NDArray[np.float64],
    threshold: float,
    predictions: Predictions | None = None,
) -> dict[int, list[str]]:
    """Return which samples a page shows, by their rows, and why; the worst ones first, and none without any truth.

    `names` are those of the C classes, `scores` as of `sample_scores`. Of masks, classes with an IoU up to `threshold` are
    shown where they fail worst; of images there are the `predictions`.
    """
    names = [*names, VOID]
    confidence = predictions and predictions.probability
    found: dict[int, list[str]] = defaultdict(list)
    for row, place in by_score(scores).items():
        found[row].append(place)
    if predictions is None:
        for index, row in failing(matrices, threshold).items():
            found[row].append(f"{names[index]} fails worst here")
    for truth, predicted in largest_pairs(_confusion(matrices)):
        for row in worst_rows(matrices, truth, predicted, confidence):
            found[row].append(f"{names[truth]} taken for {names[predicted]}")
    if predictions is not None:
        for index, rows in confident_mistakes(*predictions).items():
            for row in rows:
                found[row].append(f"a most confident mistake on {names[index]}")
        for row in uncertain(predictions.probability):
            found[row].append("most uncertain")
    return found


def _confusion(matrices: "csr_array") -> NDArray[np.int64]:
    side = math.isqrt(matrices.shape[1])
    return np.asarray(matrices.sum(axis=0), dtype=np.int64).reshape(side, side)
