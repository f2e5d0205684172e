"""The scores that only masks have: coarser levels, safety, per image, and what the official scripts print."""

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

from label_spaces.catalogue import important, load, names
from label_spaces.space import LabelSpace
from metrics.autonue import autonue_compat, idd_lite_compat
from metrics.label_merging import fold
from metrics.per_image import miou_image
from metrics.safe_iou import safe_iou, safe_miou, tree_distance
from metrics.scores import class_scores, mean_scores

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def pixel_scores(confusion: Tensor, matrices: "csr_array", space: LabelSpace) -> dict[str, Any]:
    """The part of scores.json that classification does not have.

    Args:
        confusion: (C+1, C+1) int64 counts of all frames.
        matrices: (N, (C+1)²) counts, a row per frame.
        space: the classes.

    Returns:
        `levels`, `safe_miou`, `safe_miou_classes`, `miou_image`, `miou_image_worst` and `autonue_compat`; None where the label space has none,
        or no pixel has truth.
    """
    return {
        "levels": levels(confusion, space) or None,
        **_safe(confusion, space),
        **miou_image(matrices),
        "autonue_compat": _official(confusion, space),
    }


def levels(confusion: Tensor, space: LabelSpace) -> dict[str, dict[str, Any]]:
    """The scores at each coarser level, by its name: the one matrix, folded."""
    found = {}
    for name, mapping in space.levels.items():
        coarse = load(name)
        folded = fold(confusion, mapping, coarse.num_classes)
        found[name] = {**mean_scores(folded), "classes": class_scores(folded, coarse.classes)}
    return found


def safety(space: LabelSpace) -> tuple[Tensor, tuple[int, ...]] | None:
    """What Safe mIoU needs to know of a label space: (C, C) distances, and which classes count; None where it has no such facts."""
    chosen = important(space.name) if space.name in names() else ()
    return (tree_distance(list(space.levels.values())), chosen) if chosen and space.levels else None


def _safe(confusion: Tensor, space: LabelSpace) -> dict[str, float | int | None]:
    known = safety(space)
    if known is None:
        return {"safe_miou": None, "safe_miou_classes": None}
    value = float(safe_miou(confusion, *known))
    occurring = int((~safe_iou(confusion, *known).isnan()).sum())
    return {"safe_miou": None if math.isnan(value) else value, "safe_miou_classes": occurring}


def _official(confusion: Tensor, space: LabelSpace) -> dict[str, Any] | None:
    if not confusion[:-1].any():
        return None
    if space.name == "idd_level3":
        return autonue_compat(confusion, space.levels["idd_level2"], load("idd_level2").levels["idd_level1"])
    return idd_lite_compat(confusion) if space.name == "idd_lite" else None
