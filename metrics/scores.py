"""Every score as a pure function of a confusion matrix, in float64.

The rules: rows with void truth are dropped; a void prediction is a miss (it lowers recall, F1, IoU and
accuracy, never precision); what is undefined is nan in tensors and None in dictionaries, and left out of means.
Matrices may have leading dimensions: (..., C+1, C+1) gives (..., C) per class and (...) for a mean.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

# The means over classes, for which the number of classes they are over is told as `<mean>_classes`.
_OVER_OCCURRING = ("f1_macro", "precision_macro", "miou")
_OVER_SUPPORTED = ("f1_weighted", "recall_macro", "miou_present", "fwiou")


def true_positives(confusion: Tensor) -> Tensor:
    """How many elements of each class were found: (..., C+1, C+1) counts -> (..., C) float64."""
    return confusion.diagonal(dim1=-2, dim2=-1)[..., :-1].double()


def support(confusion: Tensor) -> Tensor:
    """True elements of each class, void predictions included: (..., C+1, C+1) counts -> (..., C) float64."""
    return confusion[..., :-1, :].sum(-1).double()


def predicted(confusion: Tensor) -> Tensor:
    """How often each class was predicted where there is truth: (..., C+1, C+1) counts -> (..., C) float64."""
    return confusion[..., :-1, :-1].sum(-2).double()


def iou(confusion: Tensor) -> Tensor:
    """Intersection over union in 0–1, (..., C); nan where a class is neither true nor predicted."""
    hits = true_positives(confusion)
    return hits / (support(confusion) + predicted(confusion) - hits)


def f1(confusion: Tensor) -> Tensor:
    """F1 (Dice) in 0–1, (..., C); nan where a class is neither true nor predicted."""
    return 2 * true_positives(confusion) / (support(confusion) + predicted(confusion))


def precision(confusion: Tensor) -> Tensor:
    """The right share of what was predicted as a class, (..., C); nan where it never was."""
    return true_positives(confusion) / predicted(confusion)


def recall(confusion: Tensor) -> Tensor:
    """The share of a class that was found, (..., C); nan without support."""
    return true_positives(confusion) / support(confusion)


def means(confusion: Tensor, classes_of: Tensor | None = None) -> dict[str, Tensor]:
    """Every score that sums up one matrix.

    Args:
        confusion: (..., C+1, C+1) counts.
        classes_of: (C+1, C+1) counts that decide which classes a mean is over (a class without counts in
            `confusion` is then a 0 in it); by default each matrix decides for itself.

    Returns:
        (...) float64 in 0–1 per score, nan where it is undefined: `accuracy`, `f1_macro`, `precision_macro` and
        `miou` over the classes that are true or predicted, `recall_macro` and `miou_present` over those with
        support, `f1_weighted` and `fwiou` weighted by support, and `void_rate`, the share predicted as void.
    """
    deciding = confusion if classes_of is None else classes_of
    hits, true, found = true_positives(confusion), support(confusion), predicted(confusion)
    present = support(deciding) > 0
    occurring = present | (predicted(deciding) > 0)
    total = true.sum(-1)
    weights = true / total[..., None]
    class_iou, class_f1 = hits / (true + found - hits), 2 * hits / (true + found)
    return {
        "accuracy": hits.sum(-1) / total,
        "f1_macro": mean_over(class_f1, occurring),
        "f1_weighted": (class_f1.nan_to_num() * weights).sum(-1),
        "precision_macro": mean_over(hits / found, occurring),
        "recall_macro": mean_over(hits / true, present),
        "miou": mean_over(class_iou, occurring),
        "miou_present": mean_over(class_iou, present),
        "fwiou": (class_iou.nan_to_num() * weights).sum(-1),
        "void_rate": confusion[..., :-1, -1].sum(-1) / total,
    }


def mean_over(values: Tensor, over: Tensor) -> Tensor:
    """The mean of (..., C) values over chosen classes, a bool each; one of them that is undefined (nan) is a 0 in it."""
    return (values.nan_to_num() * over).sum(-1) / over.sum(-1)


def mean_scores(confusion: Tensor | np.ndarray) -> dict[str, float | int | None]:
    """The scores of `means`, and per mean over classes `<mean>_classes`, how many classes it is over.

    Args:
        confusion: (C+1, C+1) counts, rows truth, columns predictions, void last.

    Returns:
        Plain numbers as they stand in scores.json; None where a score is undefined.
    """
    confusion = _on_cpu(confusion)
    present = support(confusion) > 0
    occurring = int((present | (predicted(confusion) > 0)).sum())
    scores: dict[str, float | int | None] = {}
    for name, value in means(confusion).items():
        scores[name] = _number(value.item())
        if name in _OVER_OCCURRING:
            scores[f"{name}_classes"] = occurring
        elif name in _OVER_SUPPORTED:
            scores[f"{name}_classes"] = int(present.sum())
    return scores


def class_scores(confusion: Tensor | np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The scores of each class, in index order.

    Args:
        confusion: (C+1, C+1) counts, rows truth, columns predictions, void last.
        names: the C class names.

    Returns:
        A dictionary per class: `name`; `iou`, `precision`, `recall`, `f1` in 0–1, or None where undefined;
        `support` and `predicted`, integers.

    Raises:
        ValueError: the number of names is not C.
    """
    confusion = _on_cpu(confusion)
    if len(names) != len(confusion) - 1:
        raise ValueError(f"{len(names)} class names for a matrix of {len(confusion) - 1} classes and void")
    columns = {"iou": iou, "precision": precision, "recall": recall, "f1": f1}
    values = {key: [_number(value) for value in score(confusion).tolist()] for key, score in columns.items()}
    counts = {"support": support(confusion), "predicted": predicted(confusion)}
    values |= {key: [int(value) for value in count.tolist()] for key, count in counts.items()}
    return [{"name": name} | {key: column[i] for key, column in values.items()} for i, name in enumerate(names)]


def _on_cpu(confusion: Tensor | np.ndarray) -> Tensor:
    # The matrix is small: on its way to a dictionary one copy is quicker than forty kernels.
    return torch.as_tensor(confusion).cpu()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
