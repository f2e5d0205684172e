"""Confusion by the size of regions: the connected pixels of one class in a true mask."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from metrics.counts import RegionCounts
from metrics.per_sample import confusion_matrices
from metrics.slices import SIZE_BOUNDS, SIZES

KINDS = len(SIZES) + 1  # void, which has no size, comes first


def region_sizes(mask: NDArray[np.uint8], void: int, bounds: Sequence[int] = SIZE_BOUNDS) -> NDArray[np.uint8]:
    """Return the size of the region that each pixel belongs to: the pixels of its class connected to it (8-connectivity).

    Runs of one class along the rows are joined, for all classes at once: a genuine frame of 1920×1080 takes one core
    3 to 8 ms; OpenCV, which labels one class at a time, takes above 100.

    Args:
        mask: (H, W) class indices.
        void: the index of no class.
        bounds: ascending numbers of pixels from which a region has the next size.

    Returns:
        (H, W) uint8: 0 for void, then 1 and one more for each bound that is reached.
    """
    height, width = mask.shape
    begins = np.ones(mask.shape, dtype=bool)
    np.not_equal(mask[:, 1:], mask[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)  # of the runs, in row-major order
    lengths = np.diff(starts, append=mask.size)
    classes = mask.reshape(-1)[starts]
    regions = _joined(starts, starts + lengths, classes, height, width)
    pixels = np.bincount(regions, weights=lengths)
    sizes = (np.searchsorted(bounds, pixels, "right") + 1).astype(np.uint8)[regions]
    sizes[classes == void] = 0
    return np.repeat(sizes, lengths).reshape(mask.shape)


def _joined(
    starts: NDArray[np.int64], ends: NDArray[np.int64], classes: NDArray[np.uint8], height: int, width: int
) -> NDArray[np.int32]:
    """Return the region of each of N runs [start, end): touching runs of one class in neighbouring rows are one region."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = np.searchsorted(starts, (height - 1) * width)  # of the runs that have a row below
    rows = starts[:count] // width * width
    # The first and the last run that touch a run from below, corners included.
    leftmost = np.maximum(starts[:count] - 1, rows) + width
    rightmost = np.minimum(ends[:count], rows + width - 1) + width
    first = np.searchsorted(starts, leftmost, "right") - 1
    number = np.searchsorted(starts, rightmost, "right") - first
    upper = np.repeat(np.arange(count), number)
    lower = np.arange(len(upper)) + np.repeat(first - np.cumsum(number) + number, number)
    alike = classes[upper] == classes[lower]
    edges = coo_array((np.ones(alike.sum(), np.int8), (upper[alike], lower[alike])), shape=(len(starts),) * 2)
    regions: NDArray[np.int32] = connected_components(edges, directed=False)[1]
    return regions


def confusion_by_region(
    prediction: Tensor, target: Tensor, region: Tensor, num_classes: int, num_predicted: int
) -> Tensor:
    """Count each sample of a batch separately, and in it the pixels of each size of region.

    Args:
        prediction: (B, H, W) integer class indices, 0..P; P is void.
        target: (B, H, W) uint8, the true indices, 0..C.
        region: (B, H, W) uint8, `region_sizes` of the target.
        num_classes: C, the number of classes without void.
        num_predicted: P, the number of classes that are predicted.

    Returns:
        (B, 4, C+1, P+1) int64 counts: void, small, medium, large. Their sum is what `confusion_matrices` returns.
    """
    # Sizes are the lower digit, so that a target out of range is still out of range, and refused, in the pair.
    paired = target.to(torch.int16) * KINDS + region
    matrices = confusion_matrices(prediction, paired, (num_classes + 1) * KINDS - 1, num_predicted)
    return matrices.view(len(target), num_classes + 1, KINDS, num_predicted + 1).transpose(1, 2)


class RegionConfusion(Metric):
    """Accumulate a confusion matrix for each size of region over batches and ranks.

    Args:
        num_classes: C, the number of classes without void.
        num_predicted: P, the number of classes that are predicted.
    """

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
