"""The scores of parts of what was evaluated: drives, sizes of images, objects and regions, dark and bright images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metrics.counts import RegionCounts
from metrics.intervals import sum_by_group
from metrics.scores import mean_scores

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# COCO's bounds, in square pixels: https://cocodataset.org/#detection-eval. There an area is that of an object's mask, here
# it is that of its box or of a region.
SIZES = ("small", "medium", "large")
SIZE_BOUNDS = (32**2, 96**2)
GREY = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
MOST_SIZES = 10  # more sizes, as of photos from anywhere, are grouped by magnitude


@dataclass(frozen=True)
class Slicing:
    """A partition of N samples: the values of the parts in their order in slices.csv, and `of`, (N,) indices of values."""

    name: str
    values: Sequence[str]
    of: np.ndarray


def by_tag(name: str, tags: Sequence[str] | np.ndarray) -> Slicing:
    """Partition by equal values, such as by drive or weather, in sorted order."""
    values, of = np.unique(np.asarray(tags, dtype=str), return_inverse=True)
    return Slicing(name, values.tolist(), of)


def by_object_size(sizes: np.ndarray) -> Slicing:
    """Partition by the area of objects' boxes, (N, 2) heights and widths: small below 32² pixels, medium below 96², large."""
    return Slicing("object_size", SIZES, np.searchsorted(SIZE_BOUNDS, sizes.prod(1), "right"))


def by_image_size(sizes: np.ndarray) -> Slicing:
    """Partition by size, ``<width>x<height>``, the one with the fewest pixels first.

    More than ten sizes are grouped as ``image_side``: the root of the number of pixels, from a power of two to below the next.
    Sizes are (N, 2) heights and widths in pixels.
    """
    distinct, of = np.unique(sizes.astype(np.int64), axis=0, return_inverse=True)
    pixels = distinct.prod(1)
    if len(distinct) <= MOST_SIZES:
        order = np.argsort(pixels, kind="stable")
        values = [f"{width}x{height}" for height, width in distinct[order].tolist()]
        return Slicing("image_size", values, np.argsort(order)[of.ravel()])
    power = np.array([(count.bit_length() - 1) // 2 for count in pixels.tolist()])  # 4^power <= count
    powers, of_size = np.unique(power, return_inverse=True)
    values = [f"{2**least}-{2 ** (least + 1) - 1}" for least in powers.tolist()]
    return Slicing("image_side", values, of_size[of.ravel()])


def by_brightness(grey: np.ndarray) -> Slicing:
    """Partition by mean grey value, (N,) in 0–255, into thirds of the samples, ``<lowest>-<highest>``, the darkest first.

    Thirds, not fixed bounds, so that the scores of all parts are equally sure. Equal values are in one part.
    """
    of = np.searchsorted(np.quantile(grey, (1 / 3, 2 / 3)), grey)
    parts = (grey[of == part] for part in range(3))
    return Slicing("brightness", [f"{part.min():.1f}-{part.max():.1f}" if len(part) else "" for part in parts], of)


def slice_scores(matrices: "csr_array", slicings: Sequence[Slicing]) -> list[dict[str, Any]]:
    """Return the scores of all samples, and of each part that has some, of (N, (C+1)²) sparse counts.

    A row each: `slice` (``all`` first), `value`, `n_samples`, `support` (elements with truth), and the
    `metrics.scores.mean_scores` of the part's matrix: its means are over the classes of that part.
    """
    everything = Slicing("all", ["all"], np.zeros(matrices.shape[0], dtype=np.int64))
    rows = []
    for slicing in (everything, *slicings):
        numbers, counts = np.unique(slicing.of, return_counts=True)
        parts = sum_by_group(matrices, slicing.of)
        for row, (number, count) in enumerate(zip(numbers.tolist(), counts.tolist(), strict=True)):
            cells = parts[[row]].toarray().ravel()
            side = round(len(cells) ** 0.5)
            rows.append(_row(slicing.name, slicing.values[number], count, cells.reshape(side, side)))
    return rows


def region_scores(regions: RegionCounts) -> list[dict[str, Any]]:
    """Return the scores of the pixels of small, medium and large regions, in rows as of `slice_scores`; empty sizes are left out."""
    parts = zip(SIZES, regions.frames.tolist(), regions.matrices, strict=True)
    return [_row("region_size", name, count, matrix) for name, count, matrix in parts if count]


def _row(name: str, value: str, count: int, matrix: np.ndarray) -> dict[str, Any]:
    support = int(matrix[:-1].sum())
    return {"slice": name, "value": value, "n_samples": count, "support": support, **mean_scores(matrix)}
