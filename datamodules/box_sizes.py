"""How large the boxes of crops are, for the baseline that uses nothing else."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.crop_rules import crop_box
from datamodules.files.idd_polygons import read_annotation


def box_extents(polygons: Callable[[str], Path], names: Sequence[str], riders: str = "separate") -> NDArray[np.float64]:
    """Return (N, 4): width and height in pixels of crops' boxes, at least 1, and width and height of their frames.

    `polygons` returns the polygon file of a crop's frame; `riders` as in `CropRules`. Raises DatasetError where a file
    cannot be read, or has no such object.
    """
    read = lru_cache(maxsize=8)(read_annotation)  # the crops of a frame follow one another
    extents = np.empty((len(names), 4))
    for row, name in enumerate(names):
        file = polygons(name)
        annotation = read(file)
        box = crop_box(annotation, name.rpartition("#")[2], riders, file)
        width, height = max(box.right - box.left, 1.0), max(box.bottom - box.top, 1.0)
        extents[row] = width, height, annotation.width, annotation.height
    return extents


def box_sizes(extents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the features (N, 4) of `box_extents`: logarithms of width and height in pixels, and as parts of the frame.

    Natural logarithms, because twice as large means the same for a sign and for a bus.
    """
    return np.log(np.hstack([extents[:, :2], extents[:, :2] / extents[:, 2:]]))
