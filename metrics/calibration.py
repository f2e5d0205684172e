"""Calibration: how often predictions of a confidence are right, by predicted class, region and bin.

The confidence of an element is the probability of its predicted class, the largest of its softmax. Elements are grouped by
the predicted class and by 15 equally wide bins of confidence, bin k from k/15 to below (k+1)/15, the last one with 1. The
expected calibration error of a class is the sum over the bins of the difference between mean confidence and accuracy,
weighted by the bin's share of the elements: Guo et al. 2017 (arXiv 1706.04599) of the elements that are predicted as the
class, not Kull et al.'s class-wise error over all probabilities. Void truth is left out; a void prediction is wrong.
"""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from metrics.jackknife import effective, t_quantile, variance

BINS = 15
BITS = 24  # of the fraction of a confidence: sums of integers are the same in any order, on any number of ranks
BAND = 3  # pixels
REGIONS = ("all", "boundary", "interior")
MOST_GROUPS = 256  # more drives, or samples without drives, are bundled: memory must not grow with their number


class Interval(NamedTuple):
    """Expected calibration error, its 95 % interval where there is one, and the number of groups with such predictions."""

    error: float
    low: float | None
    high: float | None
    groups: int


def bundles(groups: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
    """Number N samples by their group: (N,) from 0, in the groups' sorted order; over 256 groups start from 0 again."""
    return np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1] % MOST_GROUPS


def boundary_band(target: Tensor, width: int = BAND) -> Tensor:
    """Return the pixels with another index within `width` pixels in each direction: (B, H, W) uint8 -> (B, H, W) bool.

    Void is an index too, as in the trimaps of Krähenbühl and Koltun 2011 (arXiv 1210.5644), whose truth has void along the
    objects; the image's edge is no boundary.
    """
    if target.device.type != "cpu":
        return band_by_pooling(target, width)
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    masks = target.to(torch.uint8).numpy()
    bands = [torch.from_numpy(cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)) for mask in masks]
    return torch.stack(bands) if bands else torch.zeros(target.shape, dtype=torch.bool)


def band_by_pooling(target: Tensor, width: int = BAND) -> Tensor:
    """Return the band as on an accelerator; see `boundary_band`."""
    values = target[:, None].float()
    high, low = (functional.max_pool2d(each, 2 * width + 1, 1, width) for each in (values, -values))
    return (high != -low)[:, 0]


class CalibrationSums(Metric):
    """Accumulate numbers of elements, of right ones, and sums of confidences, by group, predicted class, region and bin.

    Args:
        num_groups: G, of `bundles`.
        num_classes: C, without void.
        mapping: the class, or C for void, of each predicted index, where the model predicts another label space.
        options: those of every metric.
    """

    full_state_update = False
    is_differentiable = False
    sums: Tensor
    mapping: Tensor | None

    def __init__(self, num_groups: int, num_classes: int, mapping: Sequence[int] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.shape = num_groups, num_classes + 1, 2, 2, BINS
        self.register_buffer("mapping", None if mapping is None else torch.tensor(mapping), persistent=False)
        # Counts and confidences; the last cell is that of what is left out.
        self.add_state("sums", torch.zeros(2, prod(self.shape) + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, confidence: Tensor, prediction: Tensor, target: Tensor, group: Tensor, boundary: Tensor) -> None:
        """Add a batch of B samples on this metric's device; on an accelerator nothing waits for it.

        Args:
            confidence: (B, ...) float32 probabilities of the predicted classes.
            prediction: (B, ...) indices.
            target: (B, ...) indices, 0..C; C is void.
            group: (B,) numbers 0..G-1.
            boundary: (B, ...) bool, whether the element is in the band along boundaries.
        """
        prediction = prediction.long() if self.mapping is None else self.mapping[prediction.long()]
        # What is not finite ends the evaluation elsewhere; here it must not lead out of the table.
        fixed = (confidence.nan_to_num() * (1 << BITS)).round_().to(torch.int32)
        cell = group.view(-1, *[1] * (target.ndim - 1)) * (self.num_classes + 1) + prediction
        cell = ((cell * 2 + ~boundary) * 2 + (prediction == target)) * BINS + (fixed * BINS >> BITS).clamp_(0, BINS - 1)
        cell = torch.where(target < self.num_classes, cell, self.sums.shape[1] - 1).flatten()
        self.sums[0].scatter_add_(0, cell, torch.ones_like(cell))
        self.sums[1].scatter_add_(0, cell, fixed.flatten().long())

    def compute(self) -> NDArray[np.int64]:
        """Return the (G, 3, C+1, 2, 15) sums of all ranks: elements, right ones, and confidences in units of 2⁻²⁴."""
        count, total = np.asarray(self.sums[:, :-1].cpu()).reshape(2, *self.shape)
        return np.stack([count.sum(3), count[:, :, :, 1], total.sum(3)], axis=1)


def calibration_error(sums: NDArray[np.int64], *, signed: bool = False) -> NDArray[np.float64]:
    """Return the expected calibration error: (3, ..., 15) sums -> (...), nan where there are no elements.

    `signed` gives mean confidence minus accuracy instead, which is positive where the model is over-confident.
    """
    count, right, total = sums
    excess = np.ldexp(total, -BITS) - right
    with np.errstate(invalid="ignore"):
        return np.asarray((excess if signed else np.abs(excess)).sum(-1) / count.sum(-1))


def calibration_interval(sums: NDArray[np.int64]) -> Interval:
    """Return the error of (G, 3, 15) sums, with its interval by the jackknife over the groups that have elements.

    Where drives move confidence minus accuracy about 0, the error hardly moves and its own variance is too small: the
    interval takes the variance of the signed error where that is larger.
    """
    known = sums[sums[:, 0].sum(-1) > 0]
    full = known.sum(0)
    error = float(calibration_error(full))
    if len(known) < 2:
        return Interval(error, None, None, len(known))
    without = (full - known).swapaxes(0, 1)
    variances = [
        float(variance(calibration_error(full, signed=signed), calibration_error(without, signed=signed)))
        for signed in (False, True)
    ]
    reach = t_quantile(effective(known[:, 0].sum(-1).astype(np.float64)) - 1) * max(variances) ** 0.5
    return Interval(error, max(0.0, error - reach), min(1.0, error + reach), len(known))


def calibration_rows(sums: NDArray[np.int64], classes: Sequence[str], regions: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of calibration.csv: for all classes (None) and each, and for each region, a summary and its bins.

    `sums` are those of `CalibrationSums`. Classes, regions and bins without elements have no row; void predictions are
    among all classes only.
    """
    table = np.concatenate([sums.sum(2, keepdims=True), sums[:, :, :-1]], axis=2)
    table = np.concatenate([table.sum(3, keepdims=True), table], axis=3)
    rows: list[dict[str, Any]] = []
    for (place, name), (where, region) in product(enumerate([None, *classes]), enumerate(regions)):
        cells = table[:, :, place, where]
        count = cells[:, 0].sum(0)
        if count.any():
            key, found = {"class": name, "region": region}, calibration_interval(cells)
            errors = {"ece": found.error, "ece_low": found.low, "ece_high": found.high, "groups": found.groups}
            rows.append({**key, "bin": None, **_means(cells.sum((0, 2))), **errors})
            rows += [
                {**key, "bin": int(each) + 1, **_means(cells[:, :, each].sum(0))} for each in np.flatnonzero(count)
            ]
    return rows


def _means(sums: NDArray[np.int64]) -> dict[str, float]:
    """Return the columns of (3,) sums."""
    count, right, total = sums.tolist()
    return {"count": count, "confidence": total / count / (1 << BITS), "accuracy": right / count}
