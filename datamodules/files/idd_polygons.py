"""IDD's polygon files: their place beside the images, and their content."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamodules.errors import DatasetError

MOST_PIXELS = 178_956_970  # of an image that Pillow reads; more may be a decompression bomb
LARGEST_FRAME = 2**27  # bytes of the outlines of a frame, LabelMe's with its image; reading takes ten times as many
IMAGES, POLYGONS = "leftImg8bit", "gtFine"
POLYGONS_ENDING = f"_{POLYGONS}_polygons.json"


class AnnotationError(DatasetError):
    """A polygon file that cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """One outlined object."""

    index: int  # its position in the file, deleted objects counted
    label: str  # as it stands in the file; see `known_label`
    polygon: npt.NDArray[np.float64]  # (N, 2) corners x, y in pixels, N >= 3, possibly beyond the frame


@dataclass(frozen=True, slots=True)
class Annotation:
    """A frame's size in pixels and its objects; later objects cover earlier ones."""

    width: int
    height: int
    objects: tuple[AnnotatedObject, ...]


def polygon_file(root: Path, name: str) -> Path:
    """Return the polygon file of the frame called `name`."""
    image = Path(name)
    stem = image.stem.removesuffix(f"_{IMAGES}")
    return root / POLYGONS / image.parts[-3] / image.parts[-2] / f"{stem}{POLYGONS_ENDING}"


def read_annotation(path: Path) -> Annotation:
    """Read a polygon file, without deleted objects and those of fewer than three points. Raises AnnotationError."""
    content = read_json(path)
    try:
        return Annotation(*frame_size(content["imgWidth"], content["imgHeight"]), _objects(content["objects"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise AnnotationError(f"{path} is not a polygon file in IDD's form: {what}.") from error


def read_json(path: Path, most: int = LARGEST_FRAME) -> Any:
    """Return the content of a JSON file of at most `most` bytes. Raises AnnotationError naming the file."""
    if path.exists() and not (path.is_file() and path.stat().st_size <= most):
        raise AnnotationError(f"{path}: it is not read: it is no regular file of up to {most} bytes")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))  # json.loads of bytes takes five times as long
    except (OSError, ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: it cannot be read as JSON: {error}") from error


def known_label(label: str, known: Collection[str]) -> str | None:
    """Return the label's name among the `known` ones, also without the ending ``group``; None: unknown."""
    if label in known:
        return label
    single = label.removesuffix("group")
    return single if single in known else None


def frame_size(width: Any, height: Any) -> tuple[int, int]:
    """Return a size in pixels as a file has it. Raises ValueError where it is none, or larger than images that are read."""
    if not (isinstance(width, int) and isinstance(height, int) and 0 < width * height <= MOST_PIXELS and width > 0):
        raise ValueError(f"the image size {width!r:.20} × {height!r:.20} is not that of up to {MOST_PIXELS} pixels")
    return width, height


def _objects(entries: Any) -> tuple[AnnotatedObject, ...]:
    """Return the objects that are to be drawn."""
    drawn = [
        (index, entry["label"], entry["polygon"])
        for index, entry in enumerate(entries)
        if not (len(entry["polygon"]) < 3 or entry.get("deleted"))
    ]
    # One array of all corners: an array for each polygon takes as long as drawing them.
    every = corners(list(chain.from_iterable(polygon for *_, polygon in drawn))) if drawn else np.empty((0, 2))
    for index, label, polygon in drawn:
        if not isinstance(label, str) or (every is None and corners(polygon) is None):
            raise ValueError(f"object {index} needs a label and pairs of numbers")
    assert every is not None, "corners that are sound in each object are sound in all"
    ends = np.cumsum([len(polygon) for *_, polygon in drawn])
    parts = [every[end - len(polygon) : end] for end, (*_, polygon) in zip(ends.tolist(), drawn, strict=True)]
    return tuple(AnnotatedObject(index, label, part) for (index, label, _), part in zip(drawn, parts, strict=True))


def corners(pairs: Any) -> npt.NDArray[np.float64] | None:
    """Return (N, 2) from pairs of finite numbers; None for anything else."""
    try:
        if set(map(len, pairs)) != {2}:
            return None
        # From one flat list: a list of pairs takes three times as long.
        corners = np.array(list(chain.from_iterable(pairs)), dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        return None
    return corners if np.isfinite(corners).all() else None
