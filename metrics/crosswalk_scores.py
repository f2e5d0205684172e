"""Scores of a model that predicts in another label space than that of the truth, from the matrix before remapping.

A crosswalk is total and single-valued: each source class counts as its primary target, several may count as one, and
one without a target counts as void, a miss. A target that is no source's primary cannot be expressed.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from metrics.common_classes import common_classes
from metrics.counts import merge, remap
from metrics.scores import iou, mean_over, number, support


class Relation(Protocol):
    """How source classes relate to target classes."""

    @property
    def targets(self) -> Sequence[Sequence[int]]:
        """The target classes that each of the S source classes stands for, its primary first."""

    @property
    def expressible(self) -> Sequence[int]:
        """The target classes that are a primary."""

    @property
    def rest(self) -> Sequence[int]:
        """The source classes that mean everything else."""


def crosswalk_scores(confusion: Tensor, relation: Relation) -> dict[str, float | int | None]:
    """Return the scores of `crosswalk_means` as plain numbers, None where undefined, and per mean `<mean>_classes`."""
    confusion = confusion.cpu()
    ious = _ious(confusion, relation)
    scores: dict[str, float | int | None] = {}
    for name, value in crosswalk_means(confusion, relation).items():
        scores[name] = number(value.item())
        if name in ious:
            scores[f"{name}_classes"] = int((~ious[name].isnan()).sum())
    return scores


def crosswalk_means(confusion: Tensor, relation: Relation, classes_of: Tensor | None = None) -> dict[str, Tensor]:
    """Return the scores that sum up the matrix of such a model, for any number of matrices at once.

    Args:
        confusion: (..., T+1, S+1) counts, rows target classes (truth), columns source classes (predictions), void last.
        relation: of source to target classes.
        classes_of: (T+1, S+1) counts that decide which classes a mean is over, as in `metrics.scores.means`.

    Returns:
        (...) float64 in 0–1 per score, nan where it is undefined:

        - `expressible_share`: the share of true elements whose class can be expressed.
        - `miou_expressible`: over the expressible classes; truth that cannot be expressed still counts as a source of false
          positives.
        - `miou_closed`: the same without the truth that cannot be expressed, as papers with ignored ids report.
        - `miou_common`: over `common_classes`.

        A class that is neither true nor predicted is left out of each.
    """
    true = support(confusion)
    ious = _ious(confusion, relation)
    deciding = ious if classes_of is None else _ious(classes_of, relation)
    return {
        "expressible_share": true[..., list(relation.expressible)].sum(-1) / true.sum(-1),
        **{name: mean_over(values, ~deciding[name].isnan()) for name, values in ious.items()},
    }


def _ious(confusion: Tensor, relation: Relation) -> dict[str, Tensor]:
    """Return the IoUs that each mean of `crosswalk_means` is over, (..., number of classes); nan where a class does not occur."""
    targets, chosen, num_targets = relation.targets, list(relation.expressible), confusion.shape[-2] - 1
    remapped = remap(confusion, [each[0] if each else num_targets for each in targets])
    closed = torch.zeros_like(remapped)
    closed[..., chosen, :] = remapped[..., chosen, :]
    (source,), target, count = common_classes([(targets, relation.rest)], num_targets)
    common = merge(merge(confusion, target, count, -2), source, count, -1)
    return {
        "miou_expressible": iou(remapped)[..., chosen],
        "miou_closed": iou(closed)[..., chosen],
        "miou_common": iou(common),
    }


def predicted_instead(confusion: Tensor, classes: Sequence[int], most: int = 3) -> dict[int, list[tuple[int, float]]]:
    """Return what a model predicts most often where these target classes are true, for (T+1, S+1) counts.

    By class that occurs these are the source classes (S: void) and their shares of it in 0–1, the largest first.
    """
    found = {}
    for index in classes:
        row = confusion[index].double()
        if row.sum() > 0:
            share, order = (row / row.sum()).sort(descending=True, stable=True)
            pairs = zip(order.tolist(), share.tolist(), strict=True)
            found[index] = [(source, value) for source, value in pairs if value > 0][:most]
    return found
