"""Masks as PNG files: class indices, ids and colours."""

import colorsys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from label_spaces.space import LabelSpace
from run_folder import atomic

OPACITY = 0.5  # of the colours over an image


def colours(space: LabelSpace) -> NDArray[np.uint8]:
    """Return (256, 3) RGB by class index; void is black. A label space without colours gets evenly spread hues."""
    table = np.zeros((256, 3), np.uint8)
    count = space.num_classes
    hues = [colorsys.hsv_to_rgb(i / count, 0.75, 0.95) for i in range(count)]
    table[:count] = space.colours or np.array(hues) * 255
    return table


def blended(image: NDArray[np.uint8], mask: NDArray[np.uint8], space: LabelSpace) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) with the colours of its mask (H, W) over it; where there is no class, it is as it was."""
    mixed = cv2.addWeighted(image, 1 - OPACITY, colours(space)[mask], OPACITY, 0)
    return np.asarray(np.where((mask == space.void)[..., None], image, mixed), np.uint8)


def save_mask(path: Path, mask: NDArray[np.uint8], space: LabelSpace) -> None:
    """Write (H, W) class indices as a PNG whose pixels are the indices and whose palette shows their colours."""
    image = Image.fromarray(mask, mode="P")
    image.putpalette(colours(space).tobytes())
    save_png(path, image)


def save_ids(path: Path, mask: NDArray[np.uint8], space: LabelSpace) -> None:
    """Write (H, W) class indices as a greyscale PNG of their ids in the dataset's own mask files."""
    save_png(path, Image.fromarray(np.array(space.id_of_index(), np.uint8)[mask]))


def save_colours(path: Path, mask: NDArray[np.uint8], space: LabelSpace) -> None:
    """Write (H, W) class indices as an RGB PNG of the classes' colours."""
    save_png(path, Image.fromarray(colours(space)[mask]))


def save_png(path: Path, image: Image.Image) -> None:
    """Write a PNG file, atomically, in a folder that is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        image.save(file, format="PNG")
