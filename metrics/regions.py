"""The regions of a mask by their size: pixels of one class that hang together, and what was said of them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from metrics.pixel_records import confusion_matrices
from metrics.slices import SIZE_BOUNDS, SIZES

KINDS = len(SIZES) + 1  # void's none comes first


def region_sizes(mask: NDArray[np.uint8], void: int, bounds: Sequence[int] = SIZE_BOUNDS) -> NDArray[np.uint8]:
    """How large the region is that each pixel belongs to: the pixels of its class that hang together, also by corners.

    Runs of one class along the rows are joined, for all classes at once: a genuine frame of 1920×1080 takes one core
    3 to 8 ms; OpenCV, which labels one class at a time, takes above 100.

    Args:
        mask: (H, W) class indices.
        void: the index of no class.
        bounds: the numbers of pixels, ascending, from which on a region is of the next size.

    Returns:
        (H, W) uint8: 0 for void, then 1 and one more for each bound that is reached.
    """
    height, width = mask.shape
    begins = np.ones(mask.shape, dtype=bool)
    np.not_equal(mask[:, 1:], mask[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)  # of the runs, in the order of reading
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
    """The region of each of N runs [start, end): those of one class that touch a run of the next row belong together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = np.searchsorted(starts, (height - 1) * width)  # of the runs that have a row below
    rows = starts[:count] // width * width
    # The runs that lie below a run, its corners included, are neighbours: from the one to the other.
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
    """Count each sample of a batch by itself, and in it the pixels of each size of region by themselves.

    Args:
        prediction: (B, H, W) integer class indices, 0..P; P is void.
        target: (B, H, W) uint8, the true indices, 0..C.
        region: (B, H, W) uint8, what `region_sizes` says of the target.
        num_classes: C, the number of classes without void.
        num_predicted: P, the number of classes that are predicted.

    Returns:
        (B, 4, C+1, P+1) int64 counts: void, small, medium, large. Their sum is what `confusion_matrices` returns.
    """
    # Sizes change faster than classes: a target that is out of range still is, and is noticed, when it is paired.
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

    def compute(self) -> dict[str, np.ndarray]:
        """``region_matrices`` (3, C+1, P+1), the void row empty, and ``region_frames`` (3,), how many frames have such a region."""
        counts, frames = (state.cpu().numpy().copy() for state in (self.counts, self.frames))
        return {"region_matrices": counts, "region_frames": frames}
