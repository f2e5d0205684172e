"""What one evaluation counted: the confusion matrix, each sample's own, and where wanted the regions by their size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metrics.label_merging import remap, remap_samples

if TYPE_CHECKING:
    from scipy.sparse import csr_array


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
    """

    confusion: NDArray[np.int64]
    index: NDArray[np.int64]
    matrices: "csr_array"
    loss: NDArray[np.floating]
    weight: NDArray[np.int64]
    predictions: Predictions | None = None
    regions: RegionCounts | None = None
    before: "Counts | None" = None

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
