"""The figures that IDD's official scripts print for a confusion matrix, faults included, for comparison with published ones.

Source: AutoNUE/public-code, evaluation/evaluate_mIoU.py and evaluation/idd_lite_evaluate_mIoU.py. Their rules:
level 3 is ours (void truth ignored, a void prediction a miss). Level 2 leaves out void rows and columns both, so
that a void prediction is free. Level 1 does that too, and by mistake sums up the level-3 matrix with the table that
belongs to level 2: what it prints as "sky" is the level-3 class whose index is level 2's last. A class that is
neither true nor predicted makes the printed mean nan.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.counts import fold
from metrics.scores import number


def autonue_compat(confusion: Tensor, level2: Sequence[int], level1: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Return the figures of evaluate_mIoU.py: `level3`, `level2` and `level1`.

    Each has `miou` as printed (None where it prints nan), `miou_defined`, the mean over the classes that occur, and
    `iou`, a list with None for the classes that do not. `confusion` (C+1, C+1) has level-3 counts (C = 26 for IDD), `level2`
    (C,) the level-2 class of each level-3 class, `level1` (K,) the level-1 class of each level-2 class.
    """
    classes, middle = len(level2), len(level1)
    truth_known = confusion[:classes]
    without_void = confusion[:classes, :classes]
    second = fold(_with_empty_void(without_void), level2, middle)[:-1, :-1]
    # The mistake: level1 maps level-2 classes, but is applied to the first level-3 classes, and the others are lost.
    first = fold(_with_empty_void(without_void[:middle, :middle]), level1, max(level1) + 1)[:-1, :-1]
    return {"level3": _printed(truth_known), "level2": _printed(second), "level1": _printed(first)}


def idd_lite_compat(confusion: Tensor) -> dict[str, dict[str, Any]]:
    """Return the two figures of idd_lite_evaluate_mIoU.py for (C+1, C+1) counts, with the keys of `autonue_compat`.

    They are `void_as_class`, over C + 1 classes, void being one; and `classes`, usually quoted, over C by our rules.
    """
    return {"void_as_class": _printed(confusion), "classes": _printed(confusion[:-1])}


def _printed(counts: Tensor) -> dict[str, Any]:
    """Score (n, n) counts, or (n, n+1) whose last column is misses."""
    counts = counts.double()
    hits = counts.diagonal()
    iou = hits / (counts.sum(1) + counts.sum(0)[: len(hits)] - hits)
    values = [number(value) for value in iou.tolist()]
    defined = [value for value in values if value is not None]
    return {
        "miou": sum(defined) / len(defined) if len(defined) == len(values) else None,
        "miou_defined": sum(defined) / len(defined) if defined else None,
        "iou": values,
    }


def _with_empty_void(counts: Tensor) -> Tensor:
    return torch.nn.functional.pad(counts, (0, 1, 0, 1))
