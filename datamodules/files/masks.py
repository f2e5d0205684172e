"""Masks of class indices: drawn from polygons as IDD's own generator draws them, or read from image files."""

import io
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from datamodules.errors import DatasetError, shortened
from datamodules.files.idd_polygons import Annotation, AnnotationError, known_label, read_annotation
from datamodules.files.image_files import find_images
from datamodules.files.images import WIDE_GREY, read_bytes, still_image, stored_bits, turn_upright
from datamodules.files.other_files import UNREADABLE
from label_spaces.catalogue import having_colours
from label_spaces.space import NO_ID, Colour, LabelSpace

Mask = npt.NDArray[np.uint8]  # (H, W) class indices, `LabelSpace.void` where there is no class

ARRAYS = frozenset({".npy"})  # extensions of masks that are no images
LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "AVIF"})
COLOURED = frozenset({"RGB", "RGBA", "RGBX", "LA"})
ALPHA = {"RGBA": 3, "LA": 1, "PA": 1}  # the band that holds it
STEPS = {2: 85, 4: 17}  # between the greys that Pillow makes of pixels of so many bits
LOOKED_AT = 20  # masks of a folder whose label space is not known
SHOWN = 10  # unknown ids or colours that a message lists
BLOCK = 1 << 18  # pixels whose ids and indices stay in a core's cache


class UnknownIdsError(DatasetError):
    """A mask has ids that its label space lacks; `ids` are all of the mask."""

    def __init__(self, ids: list[int], space: LabelSpace) -> None:
        legal = [identity for identity, index in enumerate(space.index_of_id()) if index != NO_ID]
        unknown = sorted(set(ids) - set(legal))
        super().__init__(f"it has the ids {shortened(unknown, SHOWN)}; the ids of {space.name} are {_ranges(legal)}")
        self.ids = ids


def draw_mask(annotation: Annotation, space: LabelSpace) -> Mask:
    """Draw a frame's objects in their order, later ones over earlier ones, on void.

    Pillow truncates the corners' decimals and clips at the frame, as in the official masks. Raises AnnotationError for
    an unknown label. Source: AutoNUE/public-code, preperation/json2labelImg.py.
    """
    picture = Image.new("L", (annotation.width, annotation.height), space.void)
    draw = ImageDraw.Draw(picture)
    labelled = [(thing, known_label(thing.label, space.labels)) for thing in annotation.objects]
    refuse_unknown((thing.label for thing, label in labelled if label is None), space)
    for thing, label in labelled:
        draw.polygon(thing.polygon.ravel().tolist(), fill=space.labels[str(label)])
    return np.array(picture)


def refuse_unknown(labels: Iterable[str], space: LabelSpace, advice: str = "") -> None:
    """Raise AnnotationError naming labels that `space` does not have; nothing where there are none."""
    if unknown := sorted({*labels}):
        quoted = shortened([repr(label) for label in unknown], SHOWN)
        raise AnnotationError(
            f"it has the label{'s'[: len(unknown) > 1]} {quoted}, which {space.name} does not have{advice}"
        )


def polygon_mask(path: Path, space: LabelSpace) -> Mask:
    """Draw the mask of a polygon file. Raises AnnotationError naming the file."""
    annotation = read_annotation(path)
    try:
        return draw_mask(annotation, space)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}.") from None


def image_mask(path: Path, space: LabelSpace) -> Mask:
    """Read the mask that an image file or a numpy array (.npy) holds.

    Greyscale and palette images and arrays hold the ids of `space`; a palette's colours are not used, but may not
    contradict them. Colour images hold its colours, with black for no class unless a class has it, or else ids in three
    equal channels. The EXIF orientation is applied, as to images. Raises DatasetError naming the file and what is wrong,
    also where ids or colours may have been changed: by lossy compression, transparency, other colour models, scaling.
    """
    try:
        if path.suffix.lower() in ARRAYS:
            return _of_ids(_array(path), space)
        content = read_bytes(path)
        with still_image(content) as image:
            _check_exact(image, content)
            turn_upright(image)
            return _of_picture(image, content, space)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    except DatasetError as error:
        error.args = (f"{path}: {error}",)  # the class stays
        raise


def ids_found(folder: Path) -> set[int]:
    """Return the ids that the first masks of a folder hold; none where they hold colours or there are none."""
    found: set[int] = set()
    for file in sorted(find_images(folder, further=ARRAYS))[:LOOKED_AT] if folder.is_dir() else ():
        try:
            image_mask(folder / file, LabelSpace("", ()))  # which has no id
        except UnknownIdsError as error:
            found.update(error.ids)
        except DatasetError:
            continue
    return found


def holds_colours(path: Path) -> bool:
    """Return whether a mask file is a colour image, not ids or a palette. Raises DatasetError naming the file."""
    if path.suffix.lower() in ARRAYS:
        return False
    try:
        with Image.open(path) as image:
            return image.mode in COLOURED
    except UNREADABLE as error:
        raise DatasetError(f"{path}: {error}") from error


def _array(path: Path) -> npt.NDArray[np.generic]:
    """Return the ids (H, W) in a numpy file; what would have to be unpickled is refused."""
    try:
        array = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    except OSError:
        raise
    except UNREADABLE as error:
        raise DatasetError(
            f"not an array of whole numbers ({error}); save one with numpy.save(FILE, mask.astype('uint8'))"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iub" or array.ndim != 2 or not array.size:
        shape = f"{array.dtype} of the shape {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        scores = isinstance(array, np.ndarray) and array.ndim == 3 and array.dtype.kind == "f"
        take = "; of scores of the classes take numpy.argmax" if scores else ""
        raise DatasetError(f"it holds {shape}; a mask is an array (height, width) of whole numbers or booleans{take}")
    return array


def _check_exact(image: Image.Image, content: bytes) -> None:
    """Raise DatasetError where a picture's pixels may not be the ids or colours that were meant."""
    lossy = image.format == "WEBP" and b"VP8L" not in content  # the chunk of its lossless pixels
    if image.format in LOSSY or lossy or image.info.get("compression") in ("jpeg", "webp"):
        kind = "JPEG" if image.format in ("JPEG", "MPO") else f"{image.format} with lossy compression"
        raise DatasetError(f"it is a {kind}, which changes ids and colours at every edge; save masks as PNG")
    header = re.match(rb"P[2356]\s(?:\s|#.*\n)*\d+\s+\d+\s+(\d+)", content) if image.format == "PPM" else None
    if header and header[1] != b"255":
        raise DatasetError("its greys are scaled by the maximum in its header; save masks as PNG")
    if image.mode not in {"L", "P", "1", "PA", *WIDE_GREY, *COLOURED}:
        raise DatasetError(f"it holds neither ids nor RGB colours, but {image.mode}; save masks as PNG")
    if image.mode in COLOURED and stored_bits(image, content) > 8:
        raise DatasetError("its colours have 16 bits a channel; save masks of colours with 8")
    if image.mode in ALPHA and image.getchannel(ALPHA[image.mode]).getextrema()[0] != 255:
        raise DatasetError("parts of it are transparent, and may be of any class; save masks without transparency")


def _of_picture(image: Image.Image, content: bytes, space: LabelSpace) -> Mask:
    if image.mode not in COLOURED:
        ids = np.asarray(image)
        bits = stored_bits(image, content)
        if image.mode == "L" and bits in STEPS:
            ids = ids // STEPS[bits]
        of_ids = _of_ids(ids if image.mode != "PA" else ids[..., 0], space)
        if image.mode == "P":
            _check_palette(image, space)
        return of_ids
    pixels = np.asarray(image.convert("RGB"))
    if space.colours:
        mask, unknown = _of_colours(pixels, space)
        if mask is not None:
            return mask
    else:
        unknown = "colours, and the label space has none"
    if (pixels == pixels[..., :1]).all():
        return _of_ids(pixels[..., 0], space)
    fit = having_colours([(code >> 16, code >> 8 & 255, code & 255) for code in np.unique(_code(pixels)).tolist()])
    ours = f"; label spaces with all of its colours are {', '.join(fit)}" if fit else ""
    raise DatasetError(
        f"it has {unknown}; give masks of ids, or a label space whose CSV names these colours ({space.name}){ours}"
    )


def _check_palette(image: Image.Image, space: LabelSpace) -> None:
    """Raise DatasetError where the palette has the classes' own colours for other ids: those of another list, or arbitrary ones."""
    used = np.flatnonzero(image.histogram())
    palette = np.zeros((256, 3), np.uint8)
    given = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(given)] = given
    colours = palette[used]
    if (colours == colours[:, :1]).all() or len(set(space.colours)) < len(space.colours):
        return  # greys, and colours that classes share, identify no class
    by_colour, _ = _of_colours(colours[None], space) if space.colours else (None, "")
    if by_colour is None:
        return
    index = np.array(space.index_of_id())[used]
    names = (*space.classes, "void")
    for identity, own, other in zip(used.tolist(), index.tolist(), by_colour[0].tolist(), strict=True):
        if other not in (own, space.void):
            raise DatasetError(
                f"its palette has the colour of {names[other]} for the id {identity}, {names[own]}; give greyscale masks of "
                f"the ids of {space.name}, or its colours as RGB"
            )


def _of_ids(ids: npt.NDArray[np.generic], space: LabelSpace) -> Mask:
    values = np.ascontiguousarray(ids.astype(np.uint8, copy=False))
    mask, known = _looked_up(values, space)
    if (values.dtype != ids.dtype and (ids != values).any()) or not known:
        raise UnknownIdsError(np.unique(ids).tolist(), space)
    return mask


def _looked_up(ids: npt.NDArray[np.uint8], space: LabelSpace) -> tuple[Mask, bool]:
    """Return the index of each id, (H, W) as `ids`, and whether the label space has all of them.

    Block by block: temporary arrays of the size of a mask would cost more in fresh pages than what is computed.
    """
    table = np.array(space.index_of_id(), dtype=np.uint8)
    own, others = table[: space.void], table[space.void :]
    # Where ids are indices, a minimum takes a tenth of a table's time.
    plain = space.void < NO_ID and (own == np.arange(len(own))).all() and np.isin(others, (space.void, NO_ID)).all()
    above = [identity for identity in range(space.void, len(table)) if table[identity] == space.void]
    mask, known, limit = np.empty_like(ids), True, np.full((BLOCK, 1), space.void, np.uint8)
    source, target = ids.reshape(-1, 1), mask.reshape(-1, 1)
    for start in range(0, len(source), BLOCK):
        some, indices = source[start : start + BLOCK], target[start : start + BLOCK]
        if plain:
            np.minimum(some, limit[: len(some)], out=indices)  # with a number it takes ten times as long
            unknown = some >= space.void
            for identity in above:
                unknown &= some != identity
            known &= not unknown.any()
        else:
            cv2.LUT(some, table, dst=indices)
            known &= int(indices.max()) != NO_ID
    return mask, bool(known)


def _of_colours(pixels: npt.NDArray[np.uint8], space: LabelSpace) -> tuple[Mask | None, str]:
    """Return (mask, "") of a colour image (H, W, 3), or None and a description of the unknown colours."""
    known, index = _codes(space.colours, space.void_colours, space.name)
    codes = _code(pixels)
    places = np.searchsorted(known, codes).clip(max=len(known) - 1)
    unknown = known[places] != codes
    if not unknown.any():
        return index[places], ""
    colours = [f"({code >> 16},{code >> 8 & 255},{code & 255})" for code in np.unique(codes[unknown]).tolist()]
    return None, f"the unknown colours {shortened(colours, SHOWN)}"


@lru_cache(maxsize=1)
def _codes(colours: tuple[Colour, ...], void: tuple[Colour, ...], name: str) -> tuple[npt.NDArray[np.int32], Mask]:
    """Return the numbers of all colours, ascending, and the class index of each; void follows the last class."""
    if len(set(colours)) < len(colours):
        raise DatasetError(f"classes of {name} share a colour, so that colours do not identify the classes of masks")
    black = (0, 0, 0)  # of IDD, Cityscapes and PASCAL VOC where there is no class
    every = [*colours, *({*void, black} - {*colours})]
    codes = _code(np.array(every, dtype=np.uint8))
    order = np.argsort(codes)
    return codes[order], order.clip(max=len(colours)).astype(np.uint8)


def _code(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Return a number for each colour (…, 3)."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def _ranges(numbers: list[int]) -> str:
    """Return ascending numbers with runs shortened: 0–6, 255."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(f"{start}" if start == end else f"{start}–{end}" for start, end in zip(starts, ends, strict=True))
