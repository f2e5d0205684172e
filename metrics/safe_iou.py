"""Safe mIoU: an IoU with a penalty for each confusion that grows with the distance of the two classes in the label tree.

After IDD-AW (Shaik et al., "IDD-AW: A Benchmark for Safe and Robust Segmentation of Drive Scenes", arXiv 2311.14459).
The tree distance (half of the path between two classes in the label tree, over the number of levels) is as the authors'
ICPR 2024 competition page has it; the important classes are a column of label_spaces/tables/idd_level3.csv. Our rules
differ: classes that are not important have their plain IoU (that page also charges them for being mistaken for an
important class), classes that neither occur nor are predicted are left out, and a void prediction is a plain miss.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from metrics.scores import iou, predicted, support, true_positives


def tree_distance(levels: Sequence[Sequence[int]]) -> Tensor:
    """Return the (C, C) distances of classes in a label tree: L coarser levels, each with the coarse class of every class.

    They are float64: 0 for a class and itself, 1/(L+1) where the classes meet at the first coarser level, and so on,
    up to 1 where they meet only at the root.

    Example:
        >>> tree_distance([[0, 0, 1], [0, 0, 0]])[0].tolist() == [0, 1 / 3, 2 / 3]
        True
    """
    own = torch.arange(len(levels[0]))
    all_levels = torch.stack([own, *(torch.as_tensor(level) for level in levels)])
    return (all_levels[:, :, None] != all_levels[:, None, :]).double().mean(0)


def safe_iou(confusion: Tensor, distance: Tensor, important: Sequence[int]) -> Tensor:
    """Return (TP - Σ_s distance[c, s] · M[c, s]) / union of the important classes c, and the plain IoU of the others.

    They are (..., C) float64 in -1..1, of (..., C+1, C+1) counts; nan where a class is neither true nor predicted.
    `distance` (C, C) is in 0–1, such as `tree_distance`.
    """
    distance = distance.to(confusion.device, torch.float64)
    penalised = torch.zeros(len(distance), dtype=torch.float64, device=confusion.device)
    penalised[list(important)] = 1
    penalty = (confusion[..., :-1, :-1].double() * distance).sum(-1) * penalised
    union = support(confusion) + predicted(confusion) - true_positives(confusion)
    return iou(confusion) - penalty / union
