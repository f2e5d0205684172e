"""The scores that only masks have: coarser levels, safety, per image, and the figures of the official scripts."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from label_spaces.catalogue import load
from label_spaces.crosswalk import Crosswalk
from label_spaces.space import LabelSpace
from metrics.autonue import autonue_compat, idd_lite_compat
from metrics.counts import Counts, fold, merge_samples
from metrics.intervals import jackknife_intervals, sum_by_group
from metrics.jackknife import mean_interval
from metrics.per_image import image_mious, miou_image
from metrics.safe_iou import safe_iou
from metrics.scores import class_scores, mean_scores, number
from reports.crosswalk import crosswalk_levels, crosswalk_report
from reports.intervals import crosswalk_intervals, pixel_intervals, safety


def pixel_scores(counts: Counts, space: LabelSpace, groups: np.ndarray, crosswalk: Crosswalk | None) -> dict[str, Any]:
    """Return the part of scores.json that classification does not have, and the intervals.

    Each is None where the label space has no such score, or no pixel has truth. `groups` has the drive of each frame;
    the crosswalk is from the classes of `counts.before`, where the counts were remapped.
    """
    matrix, drives = torch.from_numpy(counts.confusion), sum_by_group(counts.matrices, groups)
    intervals = pixel_intervals(drives, space)
    crossing = None
    if crosswalk is None:
        levels = _levels(matrix, drives, space)
    else:
        assert counts.before is not None
        before, drives = torch.from_numpy(counts.before.confusion), sum_by_group(counts.before.matrices, groups)
        levels, crossing = crosswalk_levels(before, drives, crosswalk), crosswalk_report(before, crosswalk)
        intervals |= crosswalk_intervals(drives, crosswalk)
    intervals["miou_image"] = mean_interval(image_mious(counts.matrices), groups)
    return {
        "levels": levels or None,
        "crossing": crossing,
        **_safe(matrix, space),
        **miou_image(counts.matrices),
        "autonue_compat": _official(matrix, space),
        "intervals": intervals,
    }


def _levels(confusion: Tensor, drives: Any, space: LabelSpace) -> dict[str, dict[str, Any]]:
    """Return the scores and intervals at each coarser level: the one matrix, folded."""
    found = {}
    for name, parents in space.levels.items():
        coarse = load(name)
        folded, mapping = fold(confusion, parents, coarse.num_classes), [*parents, coarse.void]
        found[name] = {
            **mean_scores(folded),
            "classes": class_scores(folded, coarse.classes),
            "intervals": jackknife_intervals(merge_samples(drives, mapping, mapping)),
        }
    return found


def _safe(confusion: Tensor, space: LabelSpace) -> dict[str, float | int | None]:
    known = safety(space)
    if known is None:
        return {"safe_miou": None, "safe_miou_classes": None}
    ious = safe_iou(confusion, *known)
    return {"safe_miou": number(ious.nanmean(-1).item()), "safe_miou_classes": int((~ious.isnan()).sum())}


def _official(confusion: Tensor, space: LabelSpace) -> dict[str, Any] | None:
    if not confusion[:-1].any():
        return None
    if space.script == "autonue":
        level2, level1 = space.levels
        return autonue_compat(confusion, space.levels[level2], load(level2).levels[level1])
    return idd_lite_compat(confusion) if space.script == "idd_lite" else None
