"""Pictures in a page: frames beside their masks and what is wrong in them, and thumbnails."""

import base64
import io
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from label_spaces.space import LabelSpace
from reports.mask_images import blended, colours

Pixels = NDArray[np.uint8]

WIDTH = 320  # of a panel of a strip, in pixels
THUMBNAIL = 144  # the longer side of the picture of an image
OVERLAY = 240  # the longer side of a frame with its mask over it
QUALITY = 75
RIGHT, HATCH = (150, 150, 150), ((90, 90, 90), (235, 235, 235))
STRIPE = 4  # pixels


class Picture(NamedTuple):
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def strip(image: Pixels, truth: Pixels, prediction: Pixels, space: LabelSpace) -> list[Picture]:
    """Return four pictures of a frame: image, truth, prediction and errors.

    In the last, what is right is grey, what is wrong has the colour of the class that was predicted, and pixels without
    truth are hatched.

    Args:
        image: (H, W, 3) RGB.
        truth: class indices, void for none, (h, w).
        prediction: (h, w) likewise.
        space: with the colours of the classes.
    """
    assert truth.shape == prediction.shape, f"truth {truth.shape} and prediction {prediction.shape}"
    size = _panel(truth)
    truth, prediction = (_resized(mask, size, cv2.INTER_NEAREST_EXACT) for mask in (truth, prediction))
    small = _resized(image, size, cv2.INTER_AREA)
    table = colours(space)
    return [_encoded(small), *(_encoded(each, lossless=True) for each in (table[truth], table[prediction], errors(truth, prediction, space)))]  # fmt: skip


def errors(truth: Pixels, prediction: Pixels, space: LabelSpace) -> Pixels:
    """Return the last picture of `strip`, (h, w, 3) RGB."""
    shown = colours(space)[prediction]
    shown[prediction == truth] = RIGHT
    rows, columns = np.indices(truth.shape)
    hatch = np.array(HATCH, np.uint8)[(rows + columns) // STRIPE % 2]
    void = truth == space.void
    shown[void] = hatch[void]
    return shown


def legend(space: LabelSpace) -> list[tuple[str, str]]:
    """Return the name of each class and its colour as ``#rrggbb``."""
    table = colours(space)
    return [(name, f"#{bytes(table[index]).hex()}") for index, name in enumerate(space.classes)]


def overlay(image: Pixels, mask: Pixels, space: LabelSpace) -> Picture:
    """Return a small picture of a frame, (H, W, 3) RGB, with the colours of its mask (H, W) over it; void is left as it is."""
    return _smaller(blended(image, mask, space), OVERLAY)


def masked(image: Pixels, mask: Pixels, space: LabelSpace) -> list[Picture]:
    """Return two pictures of a frame, (H, W, 3) RGB: itself and its mask (H, W)."""
    size = _panel(mask)
    small = _resized(mask, size, cv2.INTER_NEAREST_EXACT)
    return [_encoded(_resized(image, size, cv2.INTER_AREA)), _encoded(colours(space)[small], lossless=True)]


def thumbnail(image: Pixels) -> list[Picture]:
    """Return one small picture of an image, (H, W, 3) RGB."""
    return [_smaller(image, THUMBNAIL)]


def _panel(mask: Pixels) -> tuple[int, int]:
    """Return the (width, height) of a panel of a strip."""
    height, width = mask.shape
    return min(WIDTH, width), max(1, round(height * min(WIDTH, width) / width))


def _smaller(pixels: Pixels, side: int) -> Picture:
    small = Image.fromarray(pixels)
    small.thumbnail((side, side))
    return _encoded(np.asarray(small))


def _resized(pixels: Pixels, size: tuple[int, int], interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), dtype=np.uint8)


def _encoded(pixels: Pixels, *, lossless: bool = False) -> Picture:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="WEBP", quality=QUALITY, lossless=lossless)
    uri = f"data:image/webp;base64,{base64.b64encode(content.getbuffer()).decode()}"
    return Picture(uri, pixels.shape[1], pixels.shape[0])
