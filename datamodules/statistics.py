"""What is in the images and masks of a dataset, measured in one pass over them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DatasetError
from datamodules.files.audit import in_threads
from datamodules.files.image_cache import Image

SIDE = 32  # pixels of the small grey image that brightness is measured on
Item = TypeVar("Item")
LUMA = np.array([0.299, 0.587, 0.114]) / 255  # of red, green and blue in 0–255; ITU-R BT.601


@dataclass(frozen=True)
class Statistics:
    """What was measured of N images; what cannot be read is left out of all arrays.

    Args:
        rows: (N,) the places of the images in what was given.
        sizes: (N, 2) height and width in pixels.
        brightness: (N,) mean luma in 0–1.
        contrast: (N,) standard deviation of luma, on a small copy.
        upper: (N,) mean luma of the upper half minus that of the lower half.
        digests: (N,) hashes of the decoded pixels.
        pixels: (N, 2, C+1) pixels of each class and of void in the upper and the lower half of the mask; 0 without one.
        regions: (R, 2) class and number of pixels of each region: the connected pixels of one class.
        unreadable: by their places in what was given, why images or masks cannot be read.
    """

    rows: NDArray[np.int64]
    sizes: NDArray[np.int64]
    brightness: NDArray[np.float64]
    contrast: NDArray[np.float64]
    upper: NDArray[np.float64]
    digests: Sequence[str]
    pixels: NDArray[np.int64]
    regions: NDArray[np.int64]
    unreadable: dict[int, str] = field(default_factory=dict)


def measure(
    read: Callable[[Item], Image], mask: Callable[[Item], Image] | None, items: Sequence[Item], classes: int
) -> Statistics:
    """Read each of N images once, and its mask where there is one, in threads.

    Args:
        read: returns an image (H, W, 3) uint8 RGB, or raises DatasetError.
        mask: returns a mask (H, W) uint8, void (`classes`) for no class, or an empty one; None: there are no masks.
        items: what images are read by.
        classes: how many there are.
    """
    found = in_threads(partial(_measured, read, mask, classes), items, "Measuring images")
    facts: list[tuple[int, tuple[float, ...], str, NDArray[np.int64], NDArray[np.int64]]] = []
    unreadable = {}
    for row, each in enumerate(found):
        if isinstance(each, str):
            unreadable[row] = each
        else:
            facts.append((row, *each))
    rows = np.array([row for row, *_ in facts], dtype=np.int64)
    numbers = np.array([each for _, each, *_ in facts]).reshape(-1, 5)
    brightness, contrast, upper = numbers[:, 2:].T
    return Statistics(
        rows=rows,
        sizes=numbers[:, :2].astype(np.int64),
        brightness=brightness,
        contrast=contrast,
        upper=upper,
        digests=[digest for _, _, digest, *_ in facts],
        pixels=np.array([pixels for *_, pixels, _ in facts], dtype=np.int64).reshape(-1, 2, classes + 1),
        regions=np.concatenate([np.empty((0, 2), np.int64), *(regions for *_, regions in facts)]),
        unreadable=unreadable,
    )


def _measured(
    read: Callable[[Item], Image], mask: Callable[[Item], Image] | None, classes: int, item: Item
) -> tuple[tuple[float, ...], str, NDArray[np.int64], NDArray[np.int64]] | str:
    """Return the numbers of an image, the hash of its pixels, and of its mask pixels and regions; or why it cannot be read."""
    try:
        image = read(item)
        truth = np.empty((0, 0), np.uint8) if mask is None else mask(item)
    except (DatasetError, OSError) as error:
        return str(error)
    luma = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) @ LUMA
    upper = luma[: SIDE // 2].mean() - luma[SIDE // 2 :].mean()
    half = len(truth) // 2
    pixels = np.array([np.bincount(part.ravel(), minlength=classes + 1) for part in (truth[:half], truth[half:])])
    content = f"{image.shape}".encode() + np.ascontiguousarray(image).data
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return (
        (*image.shape[:2], luma.mean(), luma.std(), upper),
        digest,
        pixels,
        _regions(truth, pixels[:, :-1].sum(axis=0)),
    )


def _regions(mask: Image, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (R, 2) the class and the number of pixels of each region (8-connectivity); `pixels` are those of each class."""
    found = [np.empty((0, 2), np.int64)]
    for index in np.flatnonzero(pixels).tolist():
        count, _, facts, _ = cv2.connectedComponentsWithStats((mask == index).astype(np.uint8), connectivity=8)
        areas = facts[1:count, cv2.CC_STAT_AREA].astype(np.int64)
        found.append(np.column_stack([np.full(len(areas), index), areas]))
    return np.concatenate(found)


def turned_over(augment: Callable[[Image, int], Image], size: tuple[int, int], draws: int) -> int:
    """Return in how many of the epochs 0 … `draws` - 1 an augmentation turns an image upside down.

    Args:
        augment: returns the augmented image of an epoch.
        size: (height, width) of its images.
        draws: how many epochs are tried.
    """
    ramp = np.broadcast_to(np.linspace(40, 215, size[0]).astype(np.uint8)[:, None, None], (*size, 3))
    turned = 0
    for epoch in range(draws):
        rows = augment(np.ascontiguousarray(ramp), epoch).mean(axis=(1, 2))
        turned += bool(np.polyfit(np.arange(len(rows)), rows, 1)[0] < 0)
    return turned
