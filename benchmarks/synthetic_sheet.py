"""A contact sheet of the synthetic data, frames above crops: `python -m benchmarks.synthetic_sheet OUT.png`."""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from datamodules.crop_rules import CROP_CLASSES, CropRules, bounding_box, square, usable_objects
from datamodules.files.frame_pairs import find_frames
from datamodules.files.idd_polygons import polygon_file, read_annotation
from datamodules.files.images import read_image
from datamodules.synthetic.generate import generate
from datamodules.synthetic.geometry import Pixels

COLUMNS, FRAME = 4, (102, 180)  # frames of 16:9 at a third of their size
CROP, PER_CLASS = 50, 14
GAP = 2  # white pixels between images
DRIVES, FRAMES_PER_DRIVE = 60, 1
COLOURS = 256  # of the file's palette: a third of the bytes


def sheet(root: Path) -> Pixels:
    """Return three rows of frames, one per drive, above a row of crops for each class; (H, W, 3) uint8 RGB."""
    frames: dict[str, Pixels] = {}
    crops: dict[str, dict[str, Pixels]] = {name: {} for name in CROP_CLASSES}
    for frame in find_frames(root):
        image, annotation = read_image(root / frame.name), read_annotation(polygon_file(root, frame.name))
        size = image.shape[:2]
        if size[0] / size[1] < 0.6:
            frames.setdefault(frame.group, image)
        for thing in usable_objects(annotation, CropRules()):
            left, top, side = square(bounding_box(thing, size), CropRules().margin, size)
            # One crop per drive: the sheet shows how much a class varies.
            crops[thing.label].setdefault(frame.group, image[top : top + side, left : left + side])
    shown = list(frames.values())[: 3 * COLUMNS]
    rows = [_row(shown[i : i + COLUMNS], FRAME, COLUMNS) for i in range(0, len(shown), COLUMNS)]
    rows += [_row(list(found.values()), (CROP, CROP), PER_CLASS) for found in crops.values()]
    return np.vstack(rows)


def _row(images: list[Pixels], size: tuple[int, int], count: int) -> Pixels:
    """Return up to `count` images side by side, each of (height, width) `size`, with white gaps."""
    row = np.full((size[0] + GAP, count * (size[1] + GAP), 3), 255, dtype=np.uint8)
    for i, image in enumerate(images[:count]):
        left = i * (size[1] + GAP)
        row[: size[0], left : left + size[1]] = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return row


def main() -> None:
    """Draw streets and write their sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), seed=options.seed, drives=DRIVES, frames_per_drive=FRAMES_PER_DRIVE)
        image = Image.fromarray(sheet(Path(folder))).quantize(COLOURS, dither=Image.Dither.NONE)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    image.save(options.out, "PNG", optimize=True)


if __name__ == "__main__":
    main()
