"""The scores of parts of what was evaluated: each drive, each size of image, small and large objects or regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metrics.intervals import sum_by_group
from metrics.scores import mean_scores

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# COCO's bounds, in square pixels: https://cocodataset.org/#detection-eval. There an area is that of an object's mask, here
# it is that of its box or of a region.
SIZES = ("small", "medium", "large")
SIZE_BOUNDS = (32**2, 96**2)
MOST_SIZES = 10  # images of more sizes than these, such as photos from anywhere, are put together by magnitude


@dataclass(frozen=True)
class Slicing:
    """A way to part N samples.

    Args:
        name: of the whole, such as ``drive``.
        values: of the parts, in the order in which they are told.
        of: (N,) which of the values each sample has.
    """

    name: str
    values: Sequence[str]
    of: np.ndarray


def by_drive(groups: Sequence[str]) -> Slicing:
    """Each group by itself, in sorted order."""
    values, of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return Slicing("drive", values.tolist(), of)


def by_object_size(sizes: np.ndarray) -> Slicing:
    """Small below 32² square pixels, medium below 96², or large: (N, 2) heights and widths of objects' boxes."""
    return Slicing("object_size", SIZES, np.searchsorted(SIZE_BOUNDS, sizes.prod(1), "right"))


def by_image_size(sizes: np.ndarray) -> Slicing:
    """Each size by itself as ``<width>x<height>``, the one with the fewest pixels first.

    Of more than ten sizes it is ``image_side``, the root of the number of pixels, from a power of two to below the next.

    Args:
        sizes: (N, 2) whole numbers: heights and widths in pixels.
    """
    distinct, of = np.unique(sizes.astype(np.int64), axis=0, return_inverse=True)
    pixels = distinct.prod(1)
    if len(distinct) <= MOST_SIZES:
        order = np.argsort(pixels, kind="stable")
        values = [f"{width}x{height}" for height, width in distinct[order].tolist()]
        return Slicing("image_size", values, np.argsort(order)[of.ravel()])
    power = np.array([(number.bit_length() - 1) // 2 for number in pixels.tolist()])  # 4^power is just below
    powers, of_size = np.unique(power, return_inverse=True)
    values = [f"{2**least}-{2 ** (least + 1) - 1}" for least in powers.tolist()]
    return Slicing("image_side", values, of_size[of.ravel()])


def slice_scores(matrices: "csr_array", slicings: Sequence[Slicing]) -> list[dict[str, Any]]:
    """The scores of all samples, and of each part that has some.

    Args:
        matrices: (N, (C+1)²) sparse counts, a row per sample; the column is truth * (C+1) + prediction, void is C.
        slicings: of these samples.

    Returns:
        A row each: `slice` (``all`` first), `value`, `n_samples`, `support` (elements with truth), and what
        `metrics.scores.mean_scores` makes of the part's one matrix: its means are over the classes of that part.
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


def region_scores(matrices: np.ndarray, frames: np.ndarray) -> list[dict[str, Any]]:
    """The scores among the pixels of small, of medium and of large regions, whichever of these there are.

    Args:
        matrices: (3, C+1, C+1) counts of these pixels, as `metrics.regions.RegionConfusion` has them.
        frames: (3,) how many frames have such a region.

    Returns:
        Rows as `slice_scores` makes them.
    """
    parts = zip(SIZES, frames.tolist(), matrices, strict=True)
    return [_row("region_size", name, count, matrix) for name, count, matrix in parts if count]


def _row(name: str, value: str, count: int, matrix: np.ndarray) -> dict[str, Any]:
    support = int(matrix[:-1].sum())
    return {"slice": name, "value": value, "n_samples": count, "support": support, **mean_scores(matrix)}
