"""Every score as a pure function of a confusion matrix, in float64.

The rules: rows with void truth are dropped; a void prediction is a miss (it lowers recall, F1, IoU and
accuracy, never precision); what is undefined is nan in tensors and None in dictionaries, and left out of means.
Matrices may have leading dimensions: (..., C+1, C+1) gives (..., C) per class and (...) for a mean.

`register_score` adds a score: it then appears in scores.json, history.csv, slices.csv, the intervals and the baselines.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metrics.class_sums import PER_CLASS

TASKS = ("classification", "segmentation")
# The other keys of scores.json and its parts, of slices.csv and of history.csv: no score is called so.
TAKEN = {"schema", "task", "split", "label_space", "run", "checkpoint", "split_sha256", "policy", "n_expected", "n_seen", "n_unique", "loss", "levels",
         "crossing", "autonue_compat", "intervals", "few_groups", "baselines", "classes", "miou_image_worst", "slice", "value", "n_samples", "support",
         "expressible_share", "miou_expressible", "miou_closed", "miou_common"}  # fmt: skip
ScoreFunction = Callable[[Tensor], Tensor]
Classes = Literal["occurring", "present", "weighted"]


@dataclass(frozen=True)
class Score:
    """A number that sums up a confusion matrix."""

    name: str  # in scores.json
    # (..., C+1, C+1) counts -> (...) float64, or (..., C) where `over` is given; nan where it is undefined. None for a score
    # that needs more than the matrix and is computed elsewhere.
    function: ScoreFunction | None
    label: str = ""  # for figures, where it is not the name
    # The classes that it is a mean over: occurring (true or predicted), present (true), or weighted by their support. Their
    # number is given as `<name>_classes`.
    over: Classes | None = None
    headline: Collection[str] = TASKS  # that it is shown, recorded per epoch and compared with baselines for
    higher_is_better: bool = True
    proportion: bool = False  # of elements, which has Wilson's interval
    lowest: float = 0.0  # possible value; the highest is 1


def true_positives(confusion: Tensor) -> Tensor:
    """Return the correctly predicted elements of each class: (..., C+1, C+1) counts -> (..., C) float64."""
    return confusion.diagonal(dim1=-2, dim2=-1)[..., :-1].double()


def support(confusion: Tensor) -> Tensor:
    """Return the true elements of each class, void predictions included: (..., C+1, C+1) counts -> (..., C) float64."""
    return confusion[..., :-1, :].sum(-1).double()


def predicted(confusion: Tensor) -> Tensor:
    """Return how often each class was predicted where there is truth: (..., C+1, C+1) counts -> (..., C) float64."""
    return confusion[..., :-1, :-1].sum(-2).double()


def iou(confusion: Tensor) -> Tensor:
    """Return the intersection over union in 0–1, (..., C); nan where a class is neither true nor predicted."""
    return _per_class("iou", confusion)


def f1(confusion: Tensor) -> Tensor:
    """Return F1 (Dice) in 0–1, (..., C); nan where a class is neither true nor predicted."""
    return _per_class("f1", confusion)


def precision(confusion: Tensor) -> Tensor:
    """Return the correct share of the predictions of each class, (..., C); nan where it was never predicted."""
    return _per_class("precision", confusion)


def recall(confusion: Tensor) -> Tensor:
    """Return the correctly predicted share of each class, (..., C); nan without support."""
    return _per_class("recall", confusion)


def _per_class(name: str, confusion: Tensor) -> Tensor:
    values: Tensor = PER_CLASS[name](true_positives(confusion), support(confusion), predicted(confusion))
    return values


def accuracy(confusion: Tensor) -> Tensor:
    """Return the correctly predicted share of all elements, (...)."""
    return true_positives(confusion).sum(-1) / support(confusion).sum(-1)


def void_rate(confusion: Tensor) -> Tensor:
    """Return the share of all elements that is predicted as void, (...)."""
    return confusion[..., :-1, -1].sum(-1) / support(confusion).sum(-1)


SCORES: dict[str, Score] = {  # in the order of scores.json
    score.name: score
    for score in (
        Score("accuracy", accuracy, proportion=True),
        Score("f1_macro", f1, "macro F1", over="occurring", headline=("classification",)),
        Score("f1_weighted", f1, "weighted F1", over="weighted", headline=("classification",)),
        Score("precision_macro", precision, over="occurring", headline=()),
        Score("recall_macro", recall, over="present", headline=()),
        Score("miou", iou, "mIoU", over="occurring", headline=("segmentation",)),
        Score("miou_present", iou, over="present", headline=()),
        Score("miou_image", None, headline=()),
        Score("fwiou", iou, "frequency-weighted IoU", over="weighted", headline=("segmentation",)),
        Score("safe_miou", None, headline=(), lowest=-1.0),
        Score("void_rate", void_rate, headline=(), higher_is_better=False, proportion=True),
    )
}


def register_score(name: str, **fields: Any) -> Callable[[ScoreFunction], ScoreFunction]:
    """Register the decorated function as a score; the fields are those of `Score`. Raises ValueError where the name is taken.

    Example:
        @register_score("error_rate", higher_is_better=False, proportion=True)
        def error_rate(confusion: Tensor) -> Tensor:
            return 1 - accuracy(confusion)
    """

    def register(function: ScoreFunction) -> ScoreFunction:
        if name in SCORES or name in TAKEN or name.endswith("_classes"):
            what = "a score" if name in SCORES else "a key"
            raise ValueError(f"there is {what} {name} already; register yours under another name")
        SCORES[name] = Score(name, function, **fields)
        return function

    return register


def headline_scores(*tasks: str) -> tuple[str, ...]:
    """Return the names of the scores that are shown for any of these tasks."""
    return tuple(name for name, score in SCORES.items() if not set(tasks).isdisjoint(score.headline))


def headline_of(confusion: Tensor | np.ndarray, task: str) -> dict[str, float | int | None]:
    """Return the `mean_scores` of (C+1, C+1) counts that are shown for a task."""
    scores = mean_scores(confusion)
    return {name: scores[name] for name in headline_scores(task)}


def means(confusion: Tensor, classes_of: Tensor | None = None) -> dict[str, Tensor]:
    """Return every registered score of (..., C+1, C+1) counts: (...) float64 by name, nan where it is undefined.

    `classes_of`, (C+1, C+1) counts, decides which classes a mean is over (a class without counts in `confusion` is then a 0
    in it); by default each matrix decides for itself.
    """
    deciding = confusion if classes_of is None else classes_of
    true = support(confusion)
    present = support(deciding) > 0
    over = {"present": present, "occurring": present | (predicted(deciding) > 0)}
    weights = true / true.sum(-1)[..., None]
    found = {}
    for name, score in SCORES.items():
        if score.function is None:
            continue
        value = score.function(confusion)
        if score.over == "weighted":
            value = (value.nan_to_num() * weights).sum(-1)
        elif score.over:
            value = mean_over(value, over[score.over])
        found[name] = value
    return found


def mean_over(values: Tensor, over: Tensor) -> Tensor:
    """Return the mean of (..., C) values over the classes chosen by bools; an undefined value (nan) among them counts as 0."""
    return (values.nan_to_num() * over).sum(-1) / over.sum(-1)


def mean_scores(confusion: Tensor | np.ndarray) -> dict[str, float | int | None]:
    """Return the scores of `means`, and for each mean over classes `<mean>_classes`, their number; None where undefined."""
    confusion = torch.as_tensor(confusion).cpu()  # one copy is quicker than forty kernels on a small matrix
    present = support(confusion) > 0
    classes = {"occurring": int((present | (predicted(confusion) > 0)).sum())}
    scores: dict[str, float | int | None] = {}
    for name, value in means(confusion).items():
        scores[name] = number(value.item())
        if over := SCORES[name].over:
            scores[f"{name}_classes"] = classes.get(over, int(present.sum()))
    return scores


def class_scores(confusion: Tensor | np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a dictionary per class, in index order, of (C+1, C+1) counts.

    Its keys are `name`; `iou`, `precision`, `recall`, `f1` in 0–1, or None where undefined; `support` and `predicted`,
    integers. Raises ValueError where the number of names is not C.
    """
    confusion = torch.as_tensor(confusion).cpu()
    if len(names) != len(confusion) - 1:
        raise ValueError(f"{len(names)} class names for a matrix of {len(confusion) - 1} classes and void")
    columns = {"iou": iou, "precision": precision, "recall": recall, "f1": f1}
    values = {key: [number(value) for value in score(confusion).tolist()] for key, score in columns.items()}
    counts = {"support": support(confusion), "predicted": predicted(confusion)}
    values |= {key: [int(value) for value in count.tolist()] for key, count in counts.items()}
    return [{"name": name} | {key: column[i] for key, column in values.items()} for i, name in enumerate(names)]


def number(value: float) -> float | None:
    """Return a score as it stands in scores.json: None where it is nan."""
    return None if math.isnan(value) else value
