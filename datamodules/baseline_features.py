"""Simple features of a sample, so that a score can be compared with one reached without a network."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.crop_rules import crop_box
from datamodules.files.audit import core_count
from datamodules.files.idd_polygons import read_annotation
from datamodules.files.image_cache import MOST_THREADS, Image

Features = dict[str, NDArray[np.float64]]


def mean_colours(image: Callable[[int], Image], indices: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean red, green and blue of samples' images.

    Args:
        image: from a sample's index to its image (H, W, 3) uint8 RGB; called from several threads.
        indices: N samples.

    Returns:
        (N, 3), in 0–255, in the order of `indices`.
    """
    with ThreadPoolExecutor(min(MOST_THREADS, core_count())) as pool:
        means = pool.map(lambda index: image(index).mean(axis=(0, 1), dtype=np.float64), indices)
        return np.array(list(means), dtype=np.float64).reshape(-1, 3)


def box_extents(polygons: Callable[[str], Path], names: Sequence[str], riders: str = "separate") -> NDArray[np.float64]:
    """Return the sizes of annotated objects' boxes and of their frames.

    Args:
        polygons: from a crop's name to the polygon file of its frame.
        names: N crops, ``<path of the frame>#<object's position in its polygon file>``.
        riders: see `CropRules`.

    Returns:
        (N, 4): width and height in pixels, at least 1, and width and height of the frame.

    Raises:
        DatasetError: a polygon file cannot be read, or has no such object.
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
    """Return the features of `box_extents` that a baseline is fitted to.

    Returns:
        (N, 4): the natural logarithms of width and height in pixels, and of width and height as parts of the frame's.
        Logarithms, because twice as large means the same for a sign and for a bus.
    """
    return np.log(np.hstack([extents[:, :2], extents[:, :2] / extents[:, 2:]]))
