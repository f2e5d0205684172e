"""What scores.json says of a model that speaks another label space: how much it can say, and what it says instead."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from label_spaces.catalogue import load
from label_spaces.crosswalk import STATUSES, Crosswalk
from metrics.crosswalk_scores import cross, crossing_scores, said_instead
from metrics.label_merging import merge
from metrics.scores import class_scores, mean_scores
from reports.formatting import with_interval


def crossing(uncrossed: Tensor, walk: Crosswalk) -> dict[str, Any]:
    """The field `crossing`.

    Args:
        uncrossed: (T+1, S+1) int64 counts, rows truth in the target's classes, columns what was said in the source's.
        walk: from one to the other.

    Returns:
        `from`; `full`, `partly`, `shared` and `no`, target classes by how they can be said; the scores of
        `crossing_scores`; and `instead`, for each class that cannot be said what the model says most often where it is.
    """
    mute = [index for index in range(walk.target.num_classes) if index not in walk.expressible]
    words = (*walk.source.classes, "void")
    return {
        "from": walk.source.name,
        **{status: walk.named(status) for status in STATUSES},
        **crossing_scores(uncrossed, walk.targets, walk.expressible, walk.rest),
        "instead": {
            walk.target.classes[index]: {words[said]: share for said, share in answers}
            for index, answers in said_instead(uncrossed, mute).items()
        },
    }


def crossed_levels(uncrossed: Tensor, walk: Crosswalk) -> dict[str, dict[str, Any]]:
    """The scores at each coarser level of the target, by its name: truth is folded, and what was said is crossed anew."""
    found = {}
    for name, parents in walk.target.levels.items():
        coarse = load(name)
        there = walk.at_level(name)
        folded = merge(uncrossed, parents, coarse.num_classes, -2)
        crossed = cross(folded, there.mapping)
        found[name] = {
            **mean_scores(crossed),
            "crossing": crossing(folded, there),
            "classes": class_scores(crossed, coarse.classes),
        }
    return found


def in_a_sentence(scores: dict[str, Any], num_classes: int, interval: Sequence[float] | None = None) -> str:
    """What `crossing` of scores.json comes to, for people; the interval is `miou_expressible`'s."""
    can_say = len(scores["full"]) + len(scores["partly"])
    share = scores["expressible_share"]
    told = with_interval(scores["miou_expressible"], interval)
    mute = (
        "no pixel has a class"
        if share is None
        else f"{1 - share:.0%} of the pixels belong to classes it has no word for"
    )
    return (
        f"This model can say {can_say} of {num_classes} classes; over those its mIoU is {told}; "
        f"{mute.replace('%', ' %', 1)}."
    )
