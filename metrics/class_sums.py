"""Scores from three sums per class, on plain arrays: enough to compare evaluations, and needs no torch.

The sums of a class are its correctly predicted, its true and its predicted elements. `metrics.scores` has the same formulas,
of matrices; means over classes follow the same rules.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

HITS, TRUE, PREDICTED = range(3)
# Each score of a class from these sums, of arrays or tensors, in 0–1; nan where it is undefined.
PER_CLASS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "iou": lambda hits, true, predicted: hits / (true + predicted - hits),
    "precision": lambda hits, _, predicted: hits / predicted,
    "recall": lambda hits, true, _: hits / true,
    "f1": lambda hits, true, predicted: 2 * hits / (true + predicted),
}
MEANS = {  # by the name in scores.json the score per class, and the classes it is a mean over
    "f1_macro": ("f1", "occurring"),
    "f1_weighted": ("f1", "weighted"),
    "precision_macro": ("precision", "occurring"),
    "recall_macro": ("recall", "present"),
    "miou": ("iou", "occurring"),
    "miou_present": ("iou", "present"),
    "fwiou": ("iou", "weighted"),
}


def sums_by_group(
    group: np.ndarray, indptr: np.ndarray, cell: np.ndarray, count: np.ndarray, num_classes: int
) -> np.ndarray:
    """Sum up the sparse matrices of per_sample.npz by drive: (G, 3, C) float64 hits, true and predicted elements.

    Args:
        group: (N,) the index 0..G-1 of each sample's drive.
        indptr: (N + 1,) where each sample's cells begin in `cell` and `count`.
        cell: truth · (C + 1) + prediction.
        count: elements.
        num_classes: C; void is C. Rows of void truth are left out, void predictions are in no class's predicted elements.
    """
    groups = np.repeat(group, np.diff(indptr))
    truth, prediction = np.divmod(cell, num_classes + 1)
    number = int(group.max()) + 1
    sums = np.zeros((number, 3, num_classes))
    chosen = (truth == prediction, np.full(len(cell), True), prediction < num_classes)
    for kind, (keep, column) in enumerate(zip(chosen, (truth, truth, prediction), strict=True)):
        kept = keep & (truth < num_classes)
        places = groups[kept] * num_classes + column[kept]
        sums[:, kind] = np.bincount(places, count[kept], number * num_classes).reshape(number, -1)
    return sums


def image_scores(
    indptr: np.ndarray, cell: np.ndarray, count: np.ndarray, num_classes: int, step: int = 1000
) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's own mIoU, over the classes that are true or predicted in it, and its number of wrong elements.

    Both are (N,); nan and 0 without truth. The arguments are those of `sums_by_group`; `step` samples are scored at a time.
    """
    mious, wrong = [], []
    for start in range(0, len(indptr) - 1, step):
        ends = indptr[start : start + step + 1]
        part = slice(ends[0], ends[-1])
        sums = sums_by_group(np.arange(len(ends) - 1), ends - ends[0], cell[part], count[part], num_classes)
        mious.append(mean_scores(sums)["miou"])
        wrong.append((sums[:, TRUE] - sums[:, HITS]).sum(-1))
    return np.concatenate(mious), np.concatenate(wrong)


def mean_scores(sums: np.ndarray, classes_of: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return accuracy, void_rate and the means over classes, by name: (..., 3, C) sums -> (...).

    `classes_of` are (3, C) sums that decide which classes a mean is over; by default each (3, C) decides for itself.
    """
    hits, true, predicted = (sums[..., kind, :] for kind in range(3))
    deciding = sums if classes_of is None else classes_of
    present = deciding[..., TRUE, :] > 0
    over = {"present": present, "occurring": present | (deciding[..., PREDICTED, :] > 0)}
    with np.errstate(invalid="ignore", divide="ignore"):
        total = true.sum(-1)
        over["weighted"] = true / total[..., None]
        found = {"accuracy": hits.sum(-1) / total, "void_rate": 1 - predicted.sum(-1) / total}
        for name, (score, which) in MEANS.items():
            values = np.nan_to_num(PER_CLASS[score](hits, true, predicted))
            weights = over[which]
            found[name] = (values * weights).sum(-1) / (1 if which == "weighted" else weights.sum(-1))
    return found


def class_scores(sums: np.ndarray, score: str) -> np.ndarray:
    """Return a score of `PER_CLASS`: (..., 3, C) sums -> (..., C), nan where it is undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(PER_CLASS[score](*(sums[..., kind, :] for kind in range(3))))
