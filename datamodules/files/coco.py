"""Masks drawn from COCO's files of instances: one JSON file for many images."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from datamodules.errors import Defect
from datamodules.files.frame_pairs import Listing, Pair
from datamodules.files.idd_polygons import MOST_PIXELS, AnnotationError, corners, frame_size, read_json
from datamodules.files.labelme import ADVICE, background_index, label_indices
from datamodules.files.masks import Mask, refuse_unknown
from datamodules.splits.listed import folded
from label_spaces.space import LabelSpace

SECTIONS = ("images", "annotations", "categories")
LARGEST = 2**31  # bytes of a file: LVIS, the largest in use, has 1.2 · 10⁹
MOST_BITS = 60  # of a run length in COCO's text; more digits would only take time


class CocoFile:
    """A file of instances.

    Attributes:
        images: the images' names, as they stand in the file.
        categories: the names of the categories that annotations use, in the order of their ids.

    Raises:
        AnnotationError: it cannot be read, or is not COCO's; the message names the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = _read(path)
        try:
            names = {category["id"]: str(category["name"]) for category in content["categories"]}
            images = [(str(image["file_name"]), image.get("width"), image.get("height")) for image in content["images"]]
            places = {image["id"]: place for place, image in enumerate(content["images"])}
            objects: dict[int, list[Any]] = defaultdict(list)
            used = set()
            for each in content["annotations"]:
                what = (names[each["category_id"]], bool(each.get("iscrowd")), each.get("segmentation"), each.get("id"))
                objects[places[each["image_id"]]].append(what)
                used.add(each["category_id"])
        except (KeyError, TypeError, AttributeError) as error:
            raise AnnotationError(f"{path}: it is not a file of COCO instances: {error!r}") from error
        self.images = [name for name, *_ in images]
        self.categories = list(dict.fromkeys(names[identity] for identity in sorted(used)))
        self._sizes = [size for _, *size in images]
        # Kept as text: worker processes would copy a tree of objects page by page.
        self._objects = {place: json.dumps(found) for place, found in objects.items()}

    def mask(self, place: int, space: LabelSpace) -> Mask:
        """Draw the annotations of the image at a place of `images`, (H, W).

        Regions of crowds (``iscrowd``) come first, then the others in the file's order, later ones over earlier ones.
        Pixels that none covers are the class background where `space` has one, else void. Polygons are filled by Pillow,
        their borders included, which differs from pycocotools by a pixel along borders; run lengths are exact.
        Raises AnnotationError.
        """
        width, height = self._sizes[place]
        try:
            size = frame_size(width, height)
        except ValueError as error:
            raise AnnotationError(
                f"{self.path}: the image {self.images[place]} has no width and height: {error}"
            ) from None
        indices = label_indices(space)
        objects = json.loads(self._objects.get(place, "[]"))
        try:
            refuse_unknown((name for name, *_ in objects if name not in indices), space, ADVICE)
            picture = Image.new("L", size, background_index(space))
            for name, _, segmentation, identity in sorted(objects, key=lambda found: not found[1]):
                _draw(picture, segmentation, indices[name], f"annotation {identity} ({name})")
        except AnnotationError as error:
            raise AnnotationError(f"{self.path}: {error}") from None
        return np.array(picture)


def is_coco(path: Path) -> bool:
    """Return whether a JSON file has the sections of COCO instances."""
    try:
        content = _read(path)
    except AnnotationError:
        return False
    return all(isinstance(content.get(section), list) for section in SECTIONS)


def list_coco(root: Path, files: dict[str, CocoFile], images: list[str], splits: Mapping[str, str | None]) -> Listing:
    """Pair images with what files of instances have of them; the truth of a pair is ``FILE#PLACE``.

    All paths are relative to `root`; `splits` has those of files and of images. A name in a file is a path or the end of
    one; of several images with it, that below the file's own folder counts, then that of the file's split.
    """
    found, used = Listing(), dict[str, str]()
    by_name: dict[str, list[str]] = defaultdict(list)
    for image in images:
        by_name[folded(PurePosixPath(image).name)].append(image)
    for file, content in files.items():
        folder = PurePosixPath(file).parent.as_posix()
        for place, name in enumerate(content.images):
            wanted = folded(name.replace("\\", "/").removeprefix("./"))
            named, ending = by_name.get(PurePosixPath(wanted).name, []), f"/{wanted.lstrip('/')}"
            fitting = [image for image in named if f"/{folded(image)}".endswith(ending)]
            below = [image for image in fitting if folder != "." and image.startswith(f"{folder}/")]
            of_split = [image for image in below or fitting if splits.get(image) == splits.get(file)]
            fitting = of_split or below or fitting
            if len(fitting) != 1:
                cause = "has no image" if not fitting else "may be one of several images"
                several = f": {', '.join(fitting)}" if fitting else ""
                found.alone.append(Defect(f"{file} ({name})", cause + several, cause))
            elif fitting[0] in used:
                found.alone.append(Defect(fitting[0], f"is in {used[fitting[0]]} and again in {file}"))
            else:
                used[fitting[0]] = file
                found.pairs.append(Pair(fitting[0], f"{file}#{place}", root, fitting[0], splits.get(file)))
    annotated = {splits.get(file) for file in files}
    for image in images:
        if image in used:
            continue
        if splits.get(image) == "test" and "test" not in annotated:
            found.without_truth.append(Pair(image, "", root, image, "test"))
        else:
            found.alone.append(Defect(image, f"is in none of {', '.join(files)}"))
    found.pairs.sort(key=lambda pair: pair.name)
    return found


def decode_rle(rle: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Return the mask (H, W) of run lengths, which count pixels column by column, beginning with those outside.

    `rle` has ``size``, [height, width], and ``counts``, a list of numbers or COCO's text of them. Raises ValueError where
    they do not add up to the size.
    """
    height, width = (int(side) for side in rle["size"])
    counts = rle["counts"]
    lengths = [int(count) for count in counts] if isinstance(counts, list) else decode_counts(counts)
    if height * width > MOST_PIXELS or min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise ValueError(f"its run lengths add up to {sum(lengths)}, not to {height} × {width} pixels")
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return inside.reshape((height, width), order="F")


def decode_counts(text: str) -> list[int]:
    """Return the run lengths of COCO's compressed text.

    Each is a number of five-bit digits, the lowest first: a character's code less 48 has the digit in bits 0–4, bit 5
    where another one follows; bit 4 of the last is the sign. From the fourth number on it is the difference from the last
    but one. Source: cocodataset/cocoapi, common/maskApi.c, rleFrString.
    """
    lengths: list[int] = []
    value, shift = 0, 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise ValueError(f"its run lengths hold the character {character!r}")
        value |= (digit & 31) << shift
        shift += 5
        if shift > MOST_BITS:
            raise ValueError("its run lengths hold a number of too many digits")
        if digit & 32:
            continue
        value -= (1 << shift) if digit & 16 else 0
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value, shift = 0, 0
    return lengths


def _read(path: Path) -> Mapping[str, Any]:
    content = read_json(path, LARGEST)
    if not isinstance(content, dict):
        raise AnnotationError(f"{path}: it is not a file of COCO instances")
    return dict(content)


def _draw(picture: Image.Image, segmentation: Any, index: int, what: str) -> None:
    """Draw polygons or run lengths. Raises AnnotationError for anything else."""
    if not segmentation:
        raise AnnotationError(f"{what} has no outline, only a box; a mask cannot be drawn from that")
    try:
        if isinstance(segmentation, Mapping):
            _paste(picture, decode_rle(segmentation), index)
            return
        polygons: Sequence[Any] = segmentation if isinstance(segmentation[0], list) else [segmentation]
        outlines = [corners(list(zip(flat[::2], flat[1::2], strict=True))) for flat in polygons]
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{what} cannot be drawn: {error}") from error
    for outline in outlines:
        if outline is None or len(outline) < 3:
            raise AnnotationError(f"{what} cannot be drawn: a polygon needs three or more pairs of numbers")
        ImageDraw.Draw(picture).polygon(outline.ravel().tolist(), fill=index, outline=index)


def _paste(picture: Image.Image, covered: npt.NDArray[np.bool_], index: int) -> None:
    if covered.shape != picture.size[::-1]:
        raise ValueError(f"its size {list(covered.shape)} is not the image's, {list(picture.size[::-1])}")
    picture.paste(index, (0, 0), Image.fromarray(covered))
