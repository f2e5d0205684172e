"""Masks as PNG files: class indices, ids, colours, and overlays on the image."""

import colorsys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from label_spaces.space import LabelSpace
from run_folder import atomic

OPACITY = 0.5  # of the colours over the image


def colours(space: LabelSpace) -> NDArray[np.uint8]:
    """Return (256, 3) RGB by class index; void is black. A label space without colours gets evenly spread hues."""
    table = np.zeros((256, 3), np.uint8)
    count = space.num_classes
    hues = [colorsys.hsv_to_rgb(i / count, 0.75, 0.95) for i in range(count)]
    table[:count] = space.colours or np.array(hues) * 255
    return table


def save_mask(path: Path, mask: NDArray[np.uint8], space: LabelSpace) -> None:
    """Write (H, W) class indices as a PNG whose pixels are the indices and whose palette shows their colours."""
    image = Image.fromarray(mask, mode="P")
    image.putpalette(colours(space).tobytes())
    _save(path, image)


def save_ids(path: Path, mask: NDArray[np.uint8], space: LabelSpace) -> None:
    """Write (H, W) class indices as a greyscale PNG of their ids in the dataset's own mask files."""
    _save(path, Image.fromarray(np.array(space.id_of_index(), np.uint8)[mask]))


def save_colours(path: Path, mask: NDArray[np.uint8], space: LabelSpace) -> None:
    """Write (H, W) class indices as an RGB PNG of the classes' colours."""
    _save(path, Image.fromarray(colours(space)[mask]))


def save_overlay(path: Path, image: NDArray[np.uint8], mask: NDArray[np.uint8], space: LabelSpace) -> None:
    """Write the image (H, W, 3) with the colours of its mask (H, W) over it."""
    mixed = (1 - OPACITY) * image + OPACITY * colours(space)[mask]
    _save(path, Image.fromarray(mixed.round().astype(np.uint8)))


def _save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        image.save(file, format="PNG")
