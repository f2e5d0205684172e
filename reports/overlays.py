"""A picture below the colours of its mask, with contours, and a legend of the classes that are in it."""

from collections.abc import Sequence
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from label_spaces.space import LabelSpace
from reports.figures.style import DARK, GREY, short_names
from reports.mask_images import blended, colours
from streams import printable

CONTOUR = (255, 255, 255)
MOST_NAMED = 24  # classes in a legend
LETTERS = 80  # of this many heights of a letter the picture's longer side consists
SMALLEST = 11  # pixels: a letter that can be read
CONTOURS = 960  # pixels of the picture's longer side for each of a contour's


def overlay(image: NDArray[np.uint8], mask: NDArray[np.uint8], space: LabelSpace) -> Image.Image:
    """Return the picture (H, W, 3) with the colours of its mask (H, W) over it, and below it a legend.

    Classes are named by area, the largest first. Where there is no class, the picture is as it was.
    """
    height, width = mask.shape
    counts = np.bincount(mask.ravel(), minlength=space.num_classes)[: space.num_classes]
    present = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    below = legend(present, space, mask.shape)
    whole = Image.new("RGB", (max(width, below.width), height + below.height), "white")
    whole.paste(Image.fromarray(painted(image, mask, space)))
    whole.paste(below, (0, height))
    return whole


def painted(image: NDArray[np.uint8], mask: NDArray[np.uint8], space: LabelSpace) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) with the colours of its mask (H, W) over it and contours between the classes."""
    side = 1 + max(1, round(max(mask.shape) / CONTOURS))
    # The largest and the smallest index beside a pixel differ along a line between two classes.
    lines = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((side, side), np.uint8))
    picture = blended(image, mask, space)
    picture[lines > 0] = CONTOUR
    return picture


@cache
def font_of(name: str) -> str:
    """Return the file of a font that has all letters of a name: that of the figures, else an installed one; empty without."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    others = sorted(each.fname for each in fontManager.ttflist if "LastResort" not in each.fname)  # it has only boxes
    letters = {ord(letter) for letter in name}
    fonts = (findfont(FontProperties()), *others)
    return next((font for font in fonts if letters <= _letters(font)), "")


@lru_cache(maxsize=256)
def _letters(font: str) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    try:
        return frozenset(get_font(font).get_charmap())
    except (OSError, RuntimeError):  # a file that FreeType cannot read, or that is gone
        return frozenset()


def legend(present: Sequence[int], space: LabelSpace, shape: Sequence[int], most: int = MOST_NAMED) -> Image.Image:
    """Draw the names of classes beside their colours, in as many columns as fit below a picture of (height, width).

    Of more than `most` classes the rest is counted.
    """
    width, size = shape[1], max(SMALLEST, round(max(shape) / LETTERS))
    names, table = short_names([printable(name) for name in space.classes]), colours(space)
    entries = [_entry(names[index], f"class {index}", size) for index in present[:most]]
    if more := len(present) - len(entries):
        entries.append(_entry(f"and {more} more", "", size))
    edge, row = size // 2, round(1.6 * size)
    column = max((round(font.getlength(text)) for text, font in entries), default=0) + 3 * size
    columns = max(1, (width - edge) // column)
    shape = (edge + min(columns, len(entries)) * column, 2 * edge + row * -(-len(entries) // columns) if entries else 0)
    drawn = Image.new("RGB", shape, "white")
    pen = ImageDraw.Draw(drawn)
    for place, (text, font) in enumerate(entries):
        x, y = edge + place % columns * column, edge + place // columns * row
        if place < len(present[:most]):
            box = (x, y + (row - size) // 2, x + size, y + (row + size) // 2)
            pen.rectangle(box, tuple(table[present[place]].tolist()), GREY)
        pen.text((x + 1.5 * size, y + row / 2), text, DARK, font, "lm")
    return drawn


def _entry(name: str, instead: str, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return a name, or what stands for it where no font has its letters, and the font."""
    text = name if font_of(name) else instead
    return text, ImageFont.truetype(font_of(text), size)
