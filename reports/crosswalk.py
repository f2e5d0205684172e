"""The scores of a model that predicts in another label space: what it can express, and what it predicts instead."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from label_spaces.crosswalk import STATUSES, Crosswalk
from label_spaces.space import VOID, names_beside
from metrics.counts import merge, merge_samples, remap, remap_samples
from metrics.crosswalk_scores import crosswalk_scores, predicted_instead
from metrics.intervals import jackknife_intervals
from metrics.scores import class_scores, mean_scores
from reports.formatting import with_interval
from reports.intervals import crosswalk_intervals

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def crosswalk_report(confusion: Tensor, crosswalk: Crosswalk) -> dict[str, Any]:
    """Return the field `crossing` of scores.json for (T+1, S+1) int64 counts, rows the target's classes (truth).

    It has `from`; `full`, `partly`, `shared` and `no`, the target classes by their status; the scores of
    `crosswalk_scores`; and `instead`, for each class that cannot be expressed the most frequent predictions.
    """
    inexpressible = [index for index in range(crosswalk.target.num_classes) if index not in crosswalk.expressible]
    names = (*names_beside([VOID], crosswalk.source.classes), VOID)
    return {
        "from": crosswalk.source.name,
        **{status: crosswalk.named(status) for status in STATUSES},
        **crosswalk_scores(confusion, crosswalk),
        "instead": {
            crosswalk.target.classes[index]: {names[source]: share for source, share in shares}
            for index, shares in predicted_instead(confusion, inexpressible).items()
        },
    }


def crosswalk_levels(confusion: Tensor, drives: "csr_array", crosswalk: Crosswalk) -> dict[str, dict[str, Any]]:
    """Return scores and intervals at each coarser level of the target: truth is folded, and predictions remapped to that level.

    `drives` are the counts of `crosswalk_report` per drive, (G, (T+1)·(S+1)), sparse.
    """
    found = {}
    for name, parents in crosswalk.target.levels.items():
        level = crosswalk.at_level(name)
        folded = merge(confusion, parents, level.target.num_classes, -2)
        folded_drives = merge_samples(drives, [*parents, level.target.void], range(crosswalk.source.num_classes + 1))
        remapped = remap(folded, level.mapping)
        found[name] = {
            **mean_scores(remapped),
            "crossing": crosswalk_report(folded, level),
            "classes": class_scores(remapped, level.target.classes),
            "intervals": jackknife_intervals(remap_samples(folded_drives, level.mapping))
            | crosswalk_intervals(folded_drives, level),
        }
    return found


def crosswalk_summary(scores: dict[str, Any], num_classes: int, interval: Sequence[float] | None = None) -> str:
    """Return `crossing` of scores.json in a sentence; the interval is that of `miou_expressible`."""
    expressible = len(scores["full"]) + len(scores["partly"])
    share = scores["expressible_share"]
    rest = (
        "no pixel has a class"
        if share is None
        else f"{100 * (1 - share):.0f} % of the pixels have classes it cannot express"
    )
    return (
        f"This model can express {expressible} of {num_classes} classes; its mIoU over those is "
        f"{with_interval(scores['miou_expressible'], interval)}; {rest}."
    )
