"""Confidence intervals with the drive as the unit, because its frames resemble each other, and the classes in few drives."""

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from label_spaces.crosswalk import Crosswalk
from label_spaces.space import LabelSpace
from metrics.crosswalk_scores import crosswalk_means
from metrics.intervals import groups_with_support, jackknife_intervals
from metrics.safe_iou import safe_iou, tree_distance
from metrics.scores import mean_over, means

if TYPE_CHECKING:
    from scipy.sparse import csr_array


FEW = 10  # drives: the scores of a class in fewer may be chance

Intervals = dict[str, list[float] | None]


def few_groups(drives: "csr_array", space: LabelSpace) -> dict[str, int]:
    """Return the classes that are true in fewer than ten drives, and in how many.

    `drives` are (G, (C+1)²) sparse counts per drive, or per sample where there are no drives; likewise below.
    """
    counts = groups_with_support(drives).tolist()
    return {name: count for name, count in zip(space.classes, counts, strict=True) if 0 < count < FEW}


def safety(space: LabelSpace) -> tuple[Tensor, tuple[int, ...]] | None:
    """Return the arguments of Safe mIoU: (C, C) distances and the important classes; None where the label space has none."""
    known = space.important and space.levels
    return (tree_distance(list(space.levels.values())), space.important) if known else None


def pixel_intervals(drives: "csr_array", space: LabelSpace) -> Intervals:
    """Return 95 % intervals of the scores of masks, of Safe mIoU too where the label space has it."""
    known = safety(space)
    if known is None:
        return jackknife_intervals(drives)
    rows = space.num_classes + 1
    full = torch.from_numpy(drives.sum(axis=0)).view(rows, rows)
    occurring = ~safe_iou(full, *known).isnan()

    def statistic(confusion: Tensor) -> dict[str, Tensor]:
        safe_miou = mean_over(safe_iou(confusion, *known), occurring)
        return {**means(confusion, classes_of=full), "safe_miou": safe_miou}

    return jackknife_intervals(drives, statistic)


def crosswalk_intervals(drives: "csr_array", crosswalk: Crosswalk) -> Intervals:
    """Return 95 % intervals of the scores of `crosswalk_means`, over the classes that occur in all drives together.

    The (G, (T+1)·(S+1)) counts have the target's classes (truth) as rows, and the source's (predictions) as columns.
    """
    rows = crosswalk.target.num_classes + 1
    full = torch.from_numpy(drives.sum(axis=0)).view(rows, -1)
    statistic = partial(crosswalk_means, relation=crosswalk, classes_of=full)
    return jackknife_intervals(drives, statistic, num_rows=rows, proportions=["expressible_share"])
