"""The mIoU of each image, which shows how bad the worst ones are; not the same as the dataset's mIoU."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORST = 0.05  # the share of images that `miou_image_worst` is over


def image_mious(matrices: "csr_array") -> np.ndarray:
    """Return each sample's own mIoU, over the classes that are true or predicted in it; nan without truth.

    (N, (C+1)²) sparse counts, see `metrics.counts.Counts.matrices` -> (N,) float64 in 0–1.
    """
    samples, side = matrices.shape[0], math.isqrt(matrices.shape[1])
    truth, prediction = np.divmod(matrices.indices.astype(np.int64), side)
    row = np.repeat(np.arange(samples), np.diff(matrices.indptr)) * side
    known = truth < side - 1

    def per_class(which: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Sum up the chosen cells by sample and class: (N, C) float64."""
        cells, counts = (row + classes)[which], matrices.data[which]
        summed = np.bincount(cells, counts, minlength=samples * side).reshape(samples, side)
        return np.asarray(summed[:, :-1], dtype=np.float64)

    hits = per_class(known & (truth == prediction), truth)
    union = per_class(known, truth) + per_class(known, prediction) - hits
    occurring = (union > 0).sum(axis=1)
    ious = np.divide(hits, union, out=np.zeros_like(hits), where=union > 0)
    mious = np.full(samples, np.nan)
    np.divide(ious.sum(axis=1), occurring, out=mious, where=occurring > 0)
    return mious


def worst_images(mious: np.ndarray, share: float = WORST) -> np.ndarray:
    """Return the indices of the worst share of the samples that have an mIoU, rounded up, the worst first."""
    count = math.ceil(share * np.count_nonzero(~np.isnan(mious)))
    return np.argsort(mious, kind="stable")[:count]  # nan is sorted to the end


def miou_image(matrices: "csr_array") -> dict[str, float | None]:
    """Return `miou_image`, the mean of `image_mious`, and `miou_image_worst`, of the worst 5 %; None without any truth."""
    mious = image_mious(matrices)
    worst = worst_images(mious)
    if not len(worst):
        return {"miou_image": None, "miou_image_worst": None}
    return {"miou_image": float(np.nanmean(mious)), "miou_image_worst": float(mious[worst].mean())}
