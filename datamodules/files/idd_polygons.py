"""IDD's files: where frames and their polygon files lie, and what a polygon file says."""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamodules.errors import DatasetError

IMAGES, POLYGONS = "leftImg8bit", "gtFine"
IMAGE_SUFFIXES = (".jpg", ".png")


class AnnotationError(DatasetError):
    """A polygon file that cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """One outlined thing.

    Args:
        index: its position in the file, deleted objects counted.
        label: as it stands in the file; see `known_label`.
        polygon: (N, 2) corners x, y in pixels, N >= 3, possibly beyond the frame.
    """

    index: int
    label: str
    polygon: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A frame's size in pixels and its objects; later objects cover earlier ones."""

    width: int
    height: int
    objects: tuple[AnnotatedObject, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with truth: `name` is the image's POSIX path relative to the root, `drive` the recorded sequence."""

    name: str
    drive: str


def find_frames(root: Path) -> list[Frame]:
    """The frames below `root` that have both an image and a polygon file, sorted by name.

    Raises DatasetError where there are none, or where a polygon file's image is missing.
    """
    suffix = f"_{POLYGONS}_polygons.json"
    frames, alone = [], []
    for path in sorted((root / POLYGONS).glob(f"*/*/*{suffix}")):
        split, drive = path.parts[-3:-1]
        stem = f"{IMAGES}/{split}/{drive}/{path.name.removesuffix(suffix)}_{IMAGES}"
        name = next((stem + ending for ending in IMAGE_SUFFIXES if (root / (stem + ending)).is_file()), None)
        if name is None:
            alone.append(f"{stem}.(jpg|png)")
        else:
            frames.append(Frame(name, drive))
    if alone:
        raise DatasetError(
            f"{root}: {len(alone)} polygon files have no image, first {alone[0]}; complete the folder {IMAGES}, or remove the files."
        )
    if not frames:
        raise DatasetError(
            f"No frames with truth under {root}; expected {IMAGES}/train/<drive>/<frame>_{IMAGES}.(png|jpg) "
            f"and {POLYGONS}/train/<drive>/<frame>{suffix}."
        )
    return sorted(frames, key=lambda frame: frame.name)


def refuse_repeated(names: Iterable[str], root: str) -> None:
    """Raise DatasetError where a frame is named twice: it lies in more than one of the folders of `root`, as typed."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DatasetError(
            f"data.root={root}: {len(twice)} frames are in more than one of these folders, such as {twice[0]}; give "
            "folders that have no frame in common."
        )


def polygon_file(root: Path, name: str) -> Path:
    """The polygon file of the frame called `name`."""
    image = Path(name)
    stem = image.stem.removesuffix(f"_{IMAGES}")
    return root / POLYGONS / image.parts[-3] / image.parts[-2] / f"{stem}_{POLYGONS}_polygons.json"


def read_annotation(path: Path) -> Annotation:
    """Read a polygon file, without its deleted objects and those of fewer than three points.

    Raises AnnotationError naming the file.
    """
    try:
        content = json.loads(path.read_bytes().decode())  # json alone decodes bytes five times as slowly
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path} cannot be read as a polygon file: {error}.") from error
    try:
        width, height = _pixels(content["imgWidth"]), _pixels(content["imgHeight"])
        objects = _objects(content["objects"])
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise AnnotationError(f"{path} is not a polygon file in IDD's form: {what}.") from error
    return Annotation(width, height, objects)


def object_at(annotation: Annotation, index: str, path: Path) -> AnnotatedObject:
    """The object at a position of a polygon file. Raises AnnotationError naming the file at `path`."""
    thing = next((thing for thing in annotation.objects if str(thing.index) == index), None)
    if thing is None:
        raise AnnotationError(f"{path} has no object {index} to draw.")
    return thing


def known_label(label: str, known: Collection[str]) -> str | None:
    """The label's name among the `known` ones; one that ends in ``group`` is also tried without it. None: unknown."""
    if label in known:
        return label
    single = label.removesuffix("group")
    return single if single in known else None


def _pixels(value: Any) -> int:
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"the image size {value!r} is no positive whole number")
    return value


def _objects(entries: Any) -> tuple[AnnotatedObject, ...]:
    """The objects that are to be drawn."""
    drawn = [
        (index, entry["label"], entry["polygon"])
        for index, entry in enumerate(entries)
        if not (len(entry["polygon"]) < 3 or entry.get("deleted"))
    ]
    # All corners become one array: an array made of each polygon's own takes as long as drawing them.
    corners = _corners(list(chain.from_iterable(polygon for *_, polygon in drawn))) if drawn else np.empty((0, 2))
    for index, label, polygon in drawn:
        if not isinstance(label, str) or (corners is None and _corners(polygon) is None):
            raise ValueError(f"object {index} needs a label and pairs of numbers")
    assert corners is not None, "corners that are sound in each object are sound in all"
    ends = np.cumsum([len(polygon) for *_, polygon in drawn])
    parts = [corners[end - len(polygon) : end] for end, (*_, polygon) in zip(ends.tolist(), drawn, strict=True)]
    return tuple(AnnotatedObject(index, label, part) for (index, label, _), part in zip(drawn, parts, strict=True))


def _corners(pairs: Any) -> npt.NDArray[np.float64] | None:
    """(N, 2) of as many pairs of finite numbers, or None."""
    try:
        if set(map(len, pairs)) != {2}:
            return None
        # From one flat list: from a list of pairs it takes three times as long.
        corners = np.array(list(chain.from_iterable(pairs)), dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        return None
    return corners if np.isfinite(corners).all() else None
