"""Masks drawn from LabelMe's files: a JSON file of outlines for each image."""

import base64
import io
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from datamodules.files.idd_polygons import AnnotationError, corners, frame_size, read_json
from datamodules.files.images import ORIENTATION
from datamodules.files.masks import Mask, refuse_unknown
from datamodules.files.other_files import UNREADABLE
from datamodules.splits.listed import folded
from label_spaces.space import LabelSpace

IGNORED = "__ignore__"  # LabelMe's own name of pixels of no class
BACKGROUND = ("background", "_background_")  # names of the class of pixels that no shape covers
ADVICE = "; add to data.classes, or to the label space's CSV, as void where it is no class"  # of unknown labels
LINE_WIDTH, POINT_RADIUS = 10, 5  # pixels, as in LabelMe's own conversion to masks
ENDING = ".json"


def label_indices(space: LabelSpace) -> dict[str, int]:
    """Return the class index of each label: names of classes, of void, and LabelMe's names of void and background."""
    known = {name: index for index, name in enumerate(space.classes)} | dict(space.labels)
    return {IGNORED: space.void} | dict.fromkeys(BACKGROUND, background_index(space)) | known


def background_index(space: LabelSpace) -> int:
    """Return the class of pixels that nothing covers: background where the label space has it, else void."""
    return next((space.classes.index(name) for name in BACKGROUND if name in space.classes), space.void)


def labels_in(path: Path) -> set[str]:
    """Return the labels of a file's shapes. Raises AnnotationError naming the file."""
    shapes = _read(path)["shapes"]
    return {str(shape["label"]) for shape in shapes} - {IGNORED, *BACKGROUND}


def is_labelme(path: Path) -> bool:
    """Return whether a JSON file has the shapes of LabelMe."""
    try:
        _read(path)
    except AnnotationError:
        return False
    return True


def labelme_mask(path: Path, space: LabelSpace, image: Path) -> Mask:
    """Draw the shapes of a file in their order, later ones over earlier ones, (H, W).

    Pixels that no shape covers are the class background where `space` has one, else void. Polygons, rectangles, circles,
    lines (10 pixels wide), points (of radius 5) and masks are drawn by Pillow as LabelMe's own conversion does. Where the
    file has no size, that of its `image` is taken. Raises AnnotationError naming the file. Source: wkentaro/labelme,
    labelme/utils/shape.py, shape_to_mask.
    """
    content = _read(path)
    named = PurePosixPath(str(content.get("imagePath") or image.name).replace("\\", "/")).stem
    if folded(named) != folded(image.stem):
        raise AnnotationError(f"{path}: its imagePath is {content['imagePath']}, another image than {image.name}")
    indices = label_indices(space)
    try:
        refuse_unknown((str(s["label"]) for s in content["shapes"] if str(s["label"]) not in indices), space, ADVICE)
        picture = Image.new("L", _size(content, image), background_index(space))
        for number, shape in enumerate(content["shapes"]):
            _draw(picture, shape, number, indices[str(shape["label"])])
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None
    return np.array(picture)


def _read(path: Path) -> Mapping[str, Any]:
    content = read_json(path)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(
        isinstance(s, dict) and isinstance(s.get("label"), str) and "points" in s for s in shapes
    ):
        raise AnnotationError(f"{path}: it is not a file of LabelMe: it needs shapes, each with label and points")
    return dict(content)


def _size(content: Mapping[str, Any], image: Path) -> tuple[int, int]:
    """Return (width, height): as the file has it, else as the image has it when its EXIF orientation is applied."""
    width, height = content.get("imageWidth"), content.get("imageHeight")
    try:
        if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
            return frame_size(width, height)
    except ValueError as error:
        raise AnnotationError(str(error)) from None
    try:
        with Image.open(image) as picture:
            turned = picture.getexif().get(ORIENTATION, 1) in range(5, 9)
            return picture.size[::-1] if turned else picture.size
    except UNREADABLE as error:
        raise AnnotationError(f"it has no imageWidth and imageHeight, and {image.name} cannot be read") from error


def _draw(picture: Image.Image, shape: Mapping[str, Any], number: int, index: int) -> None:
    """Draw a shape. Raises AnnotationError where its type or its points are not LabelMe's."""
    kind = shape.get("shape_type") or "polygon"
    points = corners(shape["points"])
    if points is None:
        raise AnnotationError(f"shape {number} ({shape['label']}) needs points, pairs of numbers")
    try:
        if kind == "mask":
            _paste(picture, shape["mask"], points, index)
        else:
            _outline(ImageDraw.Draw(picture), kind, [(x, y) for x, y in points.tolist()], index)
    except AnnotationError:
        raise
    except UNREADABLE as error:
        raise AnnotationError(f"shape {number} ({shape['label']}) is no {kind}: {error}") from error


def _outline(draw: ImageDraw.ImageDraw, kind: str, points: list[tuple[float, float]], index: int) -> None:
    least = {"polygon": 3, "rotation": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "point": 1}
    if kind not in least:
        raise AnnotationError(
            f"it has a shape of the type {kind}, which cannot be drawn; types that can: {', '.join(least)}, mask"
        )
    if len(points) < least[kind]:
        raise AnnotationError(f"a shape of the type {kind} has {len(points)} points; it needs {least[kind]}")
    (x, y), (px, py) = points[0], points[-1]
    if kind in ("polygon", "rotation") or (kind == "rectangle" and len(points) > 2):
        draw.polygon(points, fill=index, outline=index)
    elif kind == "rectangle":
        draw.rectangle((min(x, px), min(y, py), max(x, px), max(y, py)), fill=index, outline=index)
    elif kind in ("line", "linestrip"):
        draw.line(points, fill=index, width=LINE_WIDTH)
    else:
        radius = POINT_RADIUS if kind == "point" else math.dist((x, y), (px, py))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=index, outline=index)


def _paste(picture: Image.Image, encoded: str, points: npt.NDArray[np.float64], index: int) -> None:
    """Draw a shape that is itself a mask: a PNG in base64, whose first corner is the first point."""
    with Image.open(
        io.BytesIO(base64.b64decode(encoded, validate=True)), formats=("PNG",)
    ) as stored:  # EPS would run a program
        covered = np.asarray(stored.convert("L") if stored.mode == "P" else stored) > 0
    left, top = points[0].astype(int).tolist()
    picture.paste(index, (left, top), Image.fromarray(covered))
