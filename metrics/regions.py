"""Confusion by the size of regions: the connected pixels of one class in a true mask."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from metrics.counting import confusion_matrices
from metrics.counts import RegionCounts
from metrics.slices import SIZE_BOUNDS, SIZES

KINDS = len(SIZES) + 1  # void, which has no size, comes first


def region_sizes(mask: NDArray[np.uint8], void: int, bounds: Sequence[int] = SIZE_BOUNDS) -> NDArray[np.uint8]:
    """Return the size of the region that each pixel belongs to: the pixels of its class connected to it (8-connectivity).

    From (H, W) class indices (H, W) uint8: 0 for `void`, then 1 and one more for each of the ascending numbers of pixels,
    `bounds`, that is reached.
    """
    sizes = np.zeros(mask.shape, np.uint8)
    for index in set(np.unique(mask).tolist()) - {void}:
        _, regions = cv2.connectedComponents((mask == index).astype(np.uint8), connectivity=8)
        size_of = np.searchsorted(bounds, np.bincount(regions.ravel()), "right") + 1
        size_of[0] = 0  # the pixels of other classes
        sizes += size_of.astype(np.uint8)[regions]
    return sizes


def confusion_by_region(
    prediction: Tensor, target: Tensor, region: Tensor, num_classes: int, num_predicted: int
) -> Tensor:
    """Count each sample of a batch separately, and in it the pixels of each size of region.

    Prediction (0..P), target (0..C) and region (`region_sizes` of the target) are (B, H, W), the last two uint8.
    Returns (B, 4, C+1, P+1) int64 counts: void, small, medium, large; their sum is that of `confusion_matrices`.
    """
    # Sizes are the lower digit, so that a target out of range is still out of range, and refused, in the pair.
    paired = target.to(torch.int16) * KINDS + region
    matrices = confusion_matrices(prediction, paired, (num_classes + 1) * KINDS - 1, num_predicted)
    return matrices.view(len(target), num_classes + 1, KINDS, num_predicted + 1).transpose(1, 2)


class RegionConfusion(Metric):
    """Accumulate a confusion matrix for each size of region over batches and ranks."""

    full_state_update = False
    is_differentiable = False
    counts: Tensor
    frames: Tensor

    def __init__(self, num_classes: int, num_predicted: int) -> None:
        super().__init__()
        counts = torch.zeros(len(SIZES), num_classes + 1, num_predicted + 1, dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")
        self.add_state("frames", torch.zeros(len(SIZES), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, matrices: Tensor) -> None:
        """Add a batch: (B, 4, C+1, P+1) counts, see `confusion_by_region`."""
        sized = matrices[:, 1:]
        self.counts += sized.sum(0)
        self.frames += sized.any(-1).any(-1).sum(0)

    def compute(self) -> RegionCounts:
        """Return the counts of all batches on all ranks; the void row is empty."""
        return RegionCounts(*(state.cpu().numpy().copy() for state in (self.counts, self.frames)))
