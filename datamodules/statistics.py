"""What is in the images and masks of a dataset, measured in one pass over them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DatasetError
from datamodules.files.audit import in_threads
from datamodules.files.image_cache import Image
from datamodules.files.near_duplicates import small_picture
from datamodules.splits.sample_table import Sample

Read = Callable[[Sample], Image]


@dataclass(frozen=True)
class Statistics:
    """What was measured of the N images that can be read, of C classes.

    Args:
        samples: whose images these are; the target of those without truth is "".
        classes: names.
        unit: what `elements` counts: pixels, or images, of which each has one class.
        elements: (N, 2, C+1) pixels of each class and, last, of void in the upper and the lower half of the mask, 0 without one;
            of an image with a class 1 for it, in the upper half.
        objects: (R, 2) class and area in pixels of each object; of masks of each region, the connected pixels of a class.
        sizes: (N, 2) height and width in pixels.
        pictures: (N, 64, 64) uint8 small copies in grey.
        digests: (N,) hashes of the pixels.
        unreadable: names of the other samples, with the reason.
    """

    samples: Sequence[Sample]
    classes: Sequence[str]
    unit: str
    elements: NDArray[np.int64]
    objects: NDArray[np.int64]
    sizes: NDArray[np.int64]
    pictures: NDArray[np.uint8]
    digests: Sequence[str]
    unreadable: Sequence[tuple[str, str]]


def measure(read: Read, mask: Read | None, samples: Sequence[Sample], classes: Sequence[str]) -> Statistics:
    """Read each image once, and its mask where it has one, in threads.

    Args:
        read: returns an image, (H, W, 3) uint8 RGB, or raises DatasetError.
        mask: likewise (H, W) class indices, the number of classes for void; None: images have a class each.
        samples: whose images are read.
        classes: their names.

    Raises:
        DatasetError: no image can be read.
    """
    place = {name: index for index, name in enumerate(classes)}

    def facts(sample: Sample) -> tuple[Any, ...]:
        pixels, regions = np.zeros((2, len(classes) + 1), np.int64), np.empty((0, 2), np.int64)
        try:
            image = read(sample)
            if mask is None and sample.target:
                pixels[0, place[sample.target]] = 1
            elif mask is not None and sample.target:
                pixels, regions = _pixels_and_regions(mask(sample), len(classes))
        except (DatasetError, OSError) as error:
            return sample.name, str(error)
        content = hashlib.blake2b(f"{image.shape}".encode(), digest_size=16)
        content.update(np.ascontiguousarray(image).data)
        return sample, pixels, regions, image.shape[:2], small_picture(image), content.hexdigest()

    found = list(in_threads(facts, samples, "Measuring images"))
    known, unreadable = ([each for each in found if (len(each) == 2) == broken] for broken in (False, True))
    if not known:
        raise DatasetError(f"No image can be read, such as {': '.join(unreadable[0])}")
    readable, pixels, regions, sizes, pictures, digests = zip(*known, strict=True)
    unit = "images" if mask is None else "pixels"
    arrays = np.array(pixels), np.concatenate(regions), np.array(sizes), np.array(pictures)
    return Statistics(readable, classes, unit, *arrays, digests, unreadable)


def _pixels_and_regions(mask: Image, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (2, C+1) pixels of each class in both halves, and (R, 2) class and pixels of each region (8-connectivity)."""
    half = len(mask) // 2
    pixels = np.array([np.bincount(part.ravel(), minlength=classes + 1) for part in (mask[:half], mask[half:])])
    regions = [np.empty((0, 2), np.int64)]
    for index in np.flatnonzero(pixels[:, :-1].any(axis=0)).tolist():
        _, _, facts, _ = cv2.connectedComponentsWithStats((mask == index).astype(np.uint8), connectivity=8)
        areas = facts[1:, cv2.CC_STAT_AREA].astype(np.int64)  # the first are the pixels of other classes
        regions.append(np.column_stack([np.full(len(areas), index), areas]))
    return pixels, np.concatenate(regions)


def turned_over(augment: Callable[[Image, int], Image], size: tuple[int, int], draws: int) -> int:
    """Return in how many of the first `draws` epochs an augmentation turns images of (height, width) `size` upside down.

    `augment` returns the augmented image of an epoch.
    """
    ramp = np.repeat(np.linspace(40, 215, size[0]).astype(np.uint8), size[1] * 3).reshape(*size, 3)
    rows = (augment(ramp.copy(), epoch).mean(axis=(1, 2)) for epoch in range(draws))
    return sum(bool(np.polyfit(np.arange(len(each)), each, 1)[0] < 0) for each in rows)
