"""How far scores may be trusted: intervals with the drive as the unit, whose frames resemble each other, and what is too rare."""

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from label_spaces.catalogue import load
from label_spaces.crosswalk import Crosswalk
from label_spaces.space import LabelSpace
from metrics.crosswalk_scores import cross_samples, crossing_means
from metrics.intervals import groups_with_support, jackknife_intervals
from metrics.label_merging import merge_samples
from metrics.safe_iou import safe_iou
from metrics.scores import mean_over, means
from reports.pixels import safety

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FEW = 10  # drives: what fewer say of a class may be chance

Intervals = dict[str, list[float] | None]


def few_groups(drives: "csr_array", space: LabelSpace) -> dict[str, int]:
    """The classes that are true in fewer than ten drives, and in how many: neither score nor interval says much of them.

    Args:
        drives: (G, (C+1)²) sparse counts per drive, or per sample where there are no drives; so below.
        space: of the C classes.
    """
    counts = groups_with_support(drives).tolist()
    return {name: count for name, count in zip(space.classes, counts, strict=True) if 0 < count < FEW}


def pixel_intervals(drives: "csr_array", space: LabelSpace) -> Intervals:
    """95 % intervals of the scores of masks, Safe mIoU among them where there is one."""
    known = safety(space)
    if known is None:
        return jackknife_intervals(drives)
    rows = space.num_classes + 1
    full = torch.from_numpy(drives.sum(axis=0)).view(rows, rows)
    occurring = ~safe_iou(full, *known).isnan()

    def statistic(confusion: Tensor) -> dict[str, Tensor]:
        return {
            **means(confusion, classes_of=full),
            "safe_miou": mean_over(safe_iou(confusion, *known), occurring),
        }

    return jackknife_intervals(drives, statistic)


def level_intervals(drives: "csr_array", space: LabelSpace) -> dict[str, Intervals]:
    """Those of each coarser level, by its name."""
    found = {}
    for name, parents in space.levels.items():
        to = [*parents, load(name).void]
        found[name] = jackknife_intervals(merge_samples(drives, to, to))
    return found


def crossing_intervals(drives: "csr_array", walk: Crosswalk) -> Intervals:
    """95 % intervals of the scores of `crossing_means`, over the classes that all drives together have.

    Args:
        drives: (G, (T+1)·(S+1)) sparse counts, truth in the target's classes by what was said in the source's.
        walk: from one label space to the other.
    """
    rows = walk.target.num_classes + 1
    full = torch.from_numpy(drives.sum(axis=0)).view(rows, -1)
    statistic = partial(
        crossing_means, targets=walk.targets, expressible=walk.expressible, rest=walk.rest, classes_of=full
    )
    return jackknife_intervals(drives, statistic, num_rows=rows)


def crossed_level_intervals(drives: "csr_array", walk: Crosswalk) -> dict[str, Intervals]:
    """Those of each coarser level of the target, by its name: truth is folded, and what was said is crossed anew."""
    found = {}
    for name, parents in walk.target.levels.items():
        there = walk.at_level(name)
        folded = merge_samples(drives, [*parents, there.target.void], range(walk.source.num_classes + 1))
        crossed = jackknife_intervals(cross_samples(folded, there.mapping))
        found[name] = crossed | crossing_intervals(folded, there)
    return found
