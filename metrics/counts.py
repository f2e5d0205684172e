"""What one evaluation counted: the confusion matrix, each sample's own, and where wanted the regions by their size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def fold(confusion: Tensor, mapping: Sequence[int], num_coarse: int) -> Tensor:
    """Return the (..., K+1, K+1) counts that counting with K coarser classes would have given.

    Args:
        confusion: (..., C+1, C+1) counts, rows truth, columns predictions, void last.
        mapping: the coarse class 0..K of each of the C classes; K, void, for those that have none. Void stays void.
        num_coarse: K, without void.

    Raises:
        ValueError: the mapping has not C entries, or one outside 0..K.
    """
    if len(mapping) != confusion.shape[-1] - 1 or confusion.shape[-1] != confusion.shape[-2]:
        raise ValueError(
            f"a mapping of {len(mapping)} classes cannot fold a matrix of shape {tuple(confusion.shape)}; it has void last"
        )
    if not all(0 <= coarse <= num_coarse for coarse in mapping):
        raise ValueError(f"the mapping {list(mapping)} has an entry outside 0..{num_coarse} ({num_coarse} is void)")
    return merge(merge(confusion, mapping, num_coarse, -2), mapping, num_coarse, -1)


def merge(counts: Tensor, mapping: Sequence[int], num_coarse: int, dim: int) -> Tensor:
    """Sum up counts along one dimension only: -2 for truth, -1 for predictions; the rest is as in `fold`."""
    to = torch.tensor([*mapping, num_coarse], device=counts.device)
    shape = list(counts.shape)
    shape[dim] = num_coarse + 1
    return counts.new_zeros(shape).index_add_(dim, to, counts)


def remap(confusion: Tensor, mapping: Sequence[int]) -> Tensor:
    """Return (..., T+1, T+1) counts for (..., T+1, S+1) counts whose predictions are in S other, source, classes.

    The mapping has the target class, or T for void, of each source class.
    """
    return merge(confusion, mapping, confusion.shape[-2] - 1, -1)


def remap_samples(matrices: "csr_array", mapping: Sequence[int]) -> "csr_array":
    """Like `remap`, for sparse matrices in rows: (N, (T+1)·(S+1)) counts -> (N, (T+1)²)."""
    void = matrices.shape[1] // (len(mapping) + 1) - 1
    return merge_samples(matrices, range(void + 1), [*mapping, void])


def merge_samples(matrices: "csr_array", rows: Sequence[int], columns: Sequence[int]) -> "csr_array":
    """Sum up sparse counts along both dimensions, each with its own mapping: (N, R·Q) -> (N, R'·Q') counts.

    Args:
        matrices: a matrix of R rows and Q columns in each row; void last.
        rows: the new row of each of the R; that of void is the last of the R' new ones.
        columns: the new column of each of the Q, likewise.
    """
    from scipy.sparse import csr_array

    truth, prediction = np.divmod(matrices.indices, len(columns))
    width = columns[-1] + 1
    cells = np.asarray(rows)[truth] * width + np.asarray(columns)[prediction]
    shape = matrices.shape[0], (rows[-1] + 1) * width
    merged = csr_array((matrices.data, cells, matrices.indptr), shape=shape, copy=True)  # summing up writes into them
    merged.sum_duplicates()
    return merged


class Predictions(NamedTuple):
    """The class of each of N images: (N,) true and predicted indices, int64, and the predicted one's probability, float32."""

    target: NDArray[np.int64]
    prediction: NDArray[np.int64]
    probability: NDArray[np.float32]


class RegionCounts(NamedTuple):
    """Pixels by the size of their region: (3, C+1, P+1) int64 counts, and (3,) the number of frames with such a region."""

    matrices: NDArray[np.int64]
    frames: NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """The counts of N samples, sorted by index. There are C true and P predicted classes; void is the last row and column.

    Args:
        confusion: (C+1, P+1) int64 counts, rows truth, columns predictions.
        index: (N,) int64 positions in the table of samples; a sample that was evaluated twice is in it twice.
        matrices: (N, (C+1)·(P+1)) sparse counts, the column is truth · (P+1) + prediction.
        loss: (N,) mean over the sample's elements with truth; nan where there are none, or where no loss is defined.
        weight: (N,) the number of these elements: 1 for an image, the pixels with truth for a mask.
        predictions: for classification, the class of each image.
        regions: for masks, the pixels by the size of their region, where these were counted.
        before: the counts in the model's own classes, where they were remapped to the dataset's.
        calibration: for masks that were predicted here, the sums of `CalibrationSums`, in the dataset's classes.
    """

    confusion: NDArray[np.int64]
    index: NDArray[np.int64]
    matrices: "csr_array"
    loss: NDArray[np.floating]
    weight: NDArray[np.int64]
    predictions: Predictions | None = None
    regions: RegionCounts | None = None
    before: "Counts | None" = None
    calibration: NDArray[np.int64] | None = None

    def mean_loss(self) -> float:
        """Return the mean loss of all elements with truth; 0 where there are none.

        It is summed exactly, so it does not depend on the number of ranks.
        """
        known = self.weight > 0
        total = math.fsum((self.loss[known].astype(np.float64) * self.weight[known]).tolist())
        return total / max(1, int(self.weight.sum()))

    def remapped(self, mapping: Sequence[int]) -> "Counts":
        """Return the counts in the dataset's classes: `mapping` has the target class, or C for void, of each of the P classes."""
        regions = self.regions
        return replace(
            self,
            confusion=_remap(self.confusion, mapping),
            matrices=remap_samples(self.matrices, mapping),
            regions=regions and regions._replace(matrices=_remap(regions.matrices, mapping)),
            before=self,
        )


def _remap(counts: NDArray[np.int64], mapping: Sequence[int]) -> NDArray[np.int64]:
    return np.asarray(remap(torch.from_numpy(counts), mapping))
