"""The mIoU of each image, which shows how bad the worst ones are; not the same as the dataset's mIoU."""

import math
from typing import TYPE_CHECKING

import numpy as np

from metrics.counts import merge_samples

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORST = 0.05  # the share of images that `miou_image_worst` is over


def image_mious(matrices: "csr_array") -> np.ndarray:
    """Return each sample's own mIoU, over the classes that are true or predicted in it; nan without truth.

    (N, (C+1)²) sparse counts, see `metrics.counts.Counts.matrices` -> (N,) float64 in 0–1.
    """
    classes = math.isqrt(matrices.shape[1]) - 1
    known = matrices[:, : classes * (classes + 1)]  # without the row of void truth
    hits = known[:, :: classes + 2].toarray()
    support = merge_samples(known, range(classes), [0] * (classes + 1)).toarray()
    predicted = merge_samples(known, [0] * classes, range(classes + 1)).toarray()[:, :-1]
    union = support + predicted - hits
    ious = np.divide(hits, union, out=np.zeros(hits.shape), where=union > 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(ious.sum(axis=1) / (union > 0).sum(axis=1))


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
