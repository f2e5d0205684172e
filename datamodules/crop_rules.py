"""Which annotated objects become crops: the rules, and the geometry behind them."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from datamodules.files.idd_polygons import AnnotatedObject, Annotation, AnnotationError
from datamodules.splits.sample_table import SampleTable

CROP_CLASSES = (
    "person", "rider", "motorcycle", "bicycle", "autorickshaw", "car", "truck", "bus", "animal", "traffic sign",
    "traffic light",
)  # fmt: skip
TWO_WHEELERS = ("motorcycle", "bicycle")
RIDES = 0.1  # the least box IoU of a rider and the two-wheeler ridden: less is a neighbour's


@dataclass(frozen=True, kw_only=True)
class CropRules:
    """The rules by which objects become samples. Source: EVALUATION.md, object crops."""

    least_side: float = 32.0  # pixels: the short side of an object's box within the frame
    least_visible: float = 0.5  # the part of an object that later polygons leave uncovered
    margin: float = 1.15  # the side of the square crop over the long side of the box
    most_overlap: float = 0.5  # box IoU above which one crop would show two labels: both objects are left out
    riders: str = "separate"  # a class of their own; merge: in the crop of their two-wheeler; drop: left out
    train: int = 50  # samples that a class needs in train,
    train_groups: int = 5  # from so many drives,
    evaluation: int = 10  # and in val and test each


class Box(NamedTuple):
    """Pixels left <= x < right, top <= y < bottom."""

    left: float
    top: float
    right: float
    bottom: float


def bounding_box(thing: AnnotatedObject, size: tuple[int, int]) -> Box:
    """Return the box of an object's polygon within a frame of `size` (height, width)."""
    height, width = size
    x, y = np.clip(thing.polygon[:, 0], 0, width), np.clip(thing.polygon[:, 1], 0, height)
    return Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))


def square(box: Box, margin: float, size: tuple[int, int]) -> tuple[int, int, int]:
    """Return the square around a box, (left, top, side) in pixels, shifted, and if need be shrunk, into the frame."""
    height, width = size
    side = min(round(margin * max(box.right - box.left, box.bottom - box.top)), height, width)
    left = round((box.left + box.right - side) / 2)
    top = round((box.top + box.bottom - side) / 2)
    return min(max(left, 0), width - side), min(max(top, 0), height - side), side


def overlap(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box.right - box.left) * (box.bottom - box.top) for box in (first, second))
    return shared / (areas - shared) if shared else 0.0


def _boxes(annotation: Annotation, labels: Collection[str]) -> dict[int, Box]:
    size = (annotation.height, annotation.width)
    objects = enumerate(annotation.objects)
    return {position: bounding_box(thing, size) for position, thing in objects if thing.label in labels}


def ridden(annotation: Annotation) -> dict[int, int]:
    """Return, by a rider's position in `annotation.objects`, that of the two-wheeler whose box agrees best."""
    boxes = _boxes(annotation, (*TWO_WHEELERS, "rider"))
    wheels = [position for position in boxes if annotation.objects[position].label != "rider"]
    found = {}
    for rider in (position for position in boxes if position not in wheels):
        best = max(wheels, key=lambda wheel: overlap(boxes[rider], boxes[wheel]), default=None)
        if best is not None and overlap(boxes[rider], boxes[best]) >= RIDES:
            found[rider] = best
    return found


def crop_boxes(annotation: Annotation, riders: str) -> dict[int, Box]:
    """Return, by position in `annotation.objects`, the boxes of those that may become crops; see `CropRules.riders`."""
    boxes = _boxes(annotation, [name for name in CROP_CLASSES if name != "rider" or riders == "separate"])
    merged = _boxes(annotation, ("rider",)) if riders == "merge" else {}
    for rider, wheel in ridden(annotation).items() if merged else ():
        one, other = boxes[wheel], merged[rider]
        boxes[wheel] = Box(*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:]))
    return boxes


def crop_box(annotation: Annotation, index: str, riders: str, path: Path) -> Box:
    """Return the box of the crop of the object at `index` in the polygon file `path`. Raises AnnotationError."""
    thing = next((thing for thing in annotation.objects if str(thing.index) == index), None)
    if thing is None:
        raise AnnotationError(f"{path} has no object {index} to draw.")
    boxes = crop_boxes(annotation, riders) if riders == "merge" else {}
    own = bounding_box(thing, (annotation.height, annotation.width))
    return next((box for position, box in boxes.items() if annotation.objects[position] is thing), own)


def visible_share(
    annotation: Annotation, chosen: Iterable[int], part_of: Mapping[int, int] | None = None
) -> dict[int, float]:
    """Return, for positions in `annotation.objects`, the part within the frame that later objects leave uncovered.

    `part_of`: by position of an object that of the object it belongs to; together they count as one.
    """
    canvas = np.zeros((annotation.height, annotation.width), dtype=np.uint16)
    corners = [np.round(thing.polygon).astype(np.int32) for thing in annotation.objects]
    parts: dict[int, list[int]] = {}
    for part, owner in (part_of or {}).items():
        parts.setdefault(owner, [owner]).append(part)
    outlines = {position: [corners[part] for part in parts.get(position, [position])] for position in chosen}
    windows = {position: _window(np.concatenate(each), canvas.shape) for position, each in outlines.items()}

    def pixels(position: int) -> int:
        return int(np.count_nonzero(canvas[windows[position]] == position + 1))

    whole = dict.fromkeys(windows, 0)
    for position, of_parts in parts.items():  # the parts cover each other, and what lies between may cover some
        for part in of_parts:
            cv2.fillPoly(canvas, [corners[part]], position + 1)
        whole[position] = pixels(position)
    for position, polygon in enumerate(corners):
        cv2.fillPoly(canvas, [polygon], (part_of or {}).get(position, position) + 1)
        if position in whole and position not in parts:
            whole[position] = pixels(position)
    return {position: pixels(position) / area if area else 0.0 for position, area in whole.items()}


def _window(polygon: npt.NDArray[np.int32], size: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of a canvas of `size` that a polygon can touch."""
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    return slice(max(top, 0), max(min(bottom + 1, size[0]), 0)), slice(max(left, 0), max(min(right + 1, size[1]), 0))


def usable_objects(annotation: Annotation, rules: CropRules) -> list[AnnotatedObject]:
    """Return the objects of a frame that become samples."""
    every, least = crop_boxes(annotation, rules.riders), rules.least_side
    boxes = {at: box for at, box in every.items() if min(box.right - box.left, box.bottom - box.top) >= least}
    if not boxes:
        return []
    together = ridden(annotation) if rules.riders == "merge" else {}
    share = visible_share(annotation, boxes, {part: owner for part, owner in together.items() if owner in boxes})
    seen = [position for position in boxes if share[position] >= rules.least_visible]
    labels = {position: annotation.objects[position].label for position in seen}
    doubtful = {
        position
        for first, second in combinations(seen, 2)
        if labels[first] != labels[second] and overlap(boxes[first], boxes[second]) > rules.most_overlap
        for position in (first, second)
    }
    return [annotation.objects[position] for position in seen if position not in doubtful]


def lacking(table: SampleTable, rules: CropRules) -> dict[str, str]:
    """Return the classes of a split table that are too small to be learnt or scored, and why."""
    counts = Counter((sample.target, sample.split) for sample in table.samples)
    drives: dict[str, set[str]] = {}
    for sample in table.samples:
        drives.setdefault(sample.target, set()).update({sample.group} if sample.split == "train" else ())
    reasons = {}
    for target, groups in sorted(drives.items()):
        train, val, test = (counts[target, split] for split in ("train", "val", "test"))
        if train < rules.train or len(groups) < rules.train_groups or min(val, test) < rules.evaluation:
            reasons[target] = f"{train} in train from {len(groups)} drives, {val} in val, {test} in test"
    return reasons
