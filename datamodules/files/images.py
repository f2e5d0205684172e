"""Find image files, read any still image as 8-bit RGB, and resize it."""

import contextlib
import io
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from datamodules.errors import DatasetError

RGB = npt.NDArray[np.uint8]  # (H, W, 3)

# Formats that Pillow lists but cannot open as a still picture by itself: EPS starts another program on the file,
# the others are video, metafiles, or stubs for libraries that are not installed.
NOT_PICTURES = frozenset({"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"})
# Their further frames are previews or layers of the one picture.
ONE_PICTURE_IN_FRAMES = frozenset({"MPO", "PSD"})
# What operating systems and file servers leave in folders, beside hidden files.
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})
WIDE_GREY = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})

# What Pillow's decoders raise for broken bytes.
DECODING = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, AttributeError)
UNREADABLE = (*DECODING, RuntimeError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError)


@cache
def image_extensions() -> frozenset[str]:
    """Return the extensions of still-image files that `read_image` may read: lower case, with the dot."""
    extensions = Image.registered_extensions()
    return frozenset(ending for ending, kind in extensions.items() if kind in Image.OPEN and kind not in NOT_PICTURES)


def find_images(
    folder: Path,
    ignored: Counter[str] | None = None,
    *,
    follow_links: bool = True,
    further: frozenset[str] = frozenset(),
) -> list[str]:
    """Return the image files in a folder and below it, as POSIX paths relative to it, in sorted order folder by folder.

    No folder is entered twice, whatever symbolic links there are. `ignored` counts hidden files and folders, and files
    that are no images; `further` extensions count as images'. Raises DatasetError where a folder cannot be listed.
    """
    found, entered = [], set()
    ignored = Counter() if ignored is None else ignored
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=follow_links):
        facts = Path(place).stat()
        if (facts.st_dev, facts.st_ino) in entered:
            folders.clear()
            continue
        entered.add((facts.st_dev, facts.st_ino))
        folders[:] = visible(folders, ignored)
        found += [Path(place, name).relative_to(folder).as_posix() for name in visible_images(files, ignored, further)]
    return found


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder. Raises DatasetError where it cannot be listed."""
    _, folders, files = next(os.walk(folder, onerror=_refuse))
    return folders, files


def visible(names: Sequence[str], ignored: Counter[str]) -> list[str]:
    """Return the names that are neither hidden nor an operating system's, sorted; `ignored` counts the others."""
    shown = sorted(name for name in names if not name.startswith("."))
    own = [name for name in shown if name.casefold() not in SYSTEM_FOLDERS]
    ignored["hidden files or folders"] += len(names) - len(shown)
    if system := len(shown) - len(own):
        ignored["folders of an operating system"] += system
    return own


def visible_images(files: Sequence[str], ignored: Counter[str], further: frozenset[str] = frozenset()) -> list[str]:
    """Return the visible names with an image's or a `further` extension, sorted; the others are counted in `ignored`."""
    shown, extensions = visible(files, ignored), image_extensions() | further
    images = [name for name in shown if Path(name).suffix.lower() in extensions]
    ignored["files that are no images"] += len(shown) - len(images)
    return images


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{error.filename} cannot be listed: {error.strerror}.")


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(kind for kind in Image.ID if kind not in NOT_PICTURES)


def read_image(path: Path) -> RGB:
    """Read a still image of any format and mode that Pillow reads. Returns (H, W, 3) uint8 RGB.

    The EXIF orientation is applied, greyscale of 16 bit is scaled, transparent parts are composed over white.
    Pillow decodes, not OpenCV: OpenCV is faster on JPEG but returns the rest of a truncated one grey, without an error.
    Raises DatasetError naming the file and why it cannot be used, also where its pixels have no fixed scale.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    try:
        return decode_image(content)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def decode_image(content: bytes) -> RGB:
    """Decode the bytes of an image file as `read_image` does. Raises DatasetError with the reason alone."""
    with still_image(content) as image:
        with contextlib.suppress(*UNREADABLE):  # EXIF that cannot be read is ignored
            ImageOps.exif_transpose(image, in_place=True)
        return np.array(_as_rgb(image))


@contextlib.contextmanager
def still_image(content: bytes) -> Iterator[Image.Image]:
    """Yield the picture of an image file, loaded, as stored. Raises DatasetError, also for errors inside `with`."""
    if not content:
        raise DatasetError("empty file (0 bytes)")
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            _check_still(image)
            image.load()
            yield image
    except DatasetError:
        raise
    except UnidentifiedImageError as error:
        raise DatasetError("not an image, or damaged at its very beginning") from error
    except UNREADABLE as error:
        raise DatasetError(f"damaged: {str(error).strip() or type(error).__name__}") from error


def _check_still(image: Image.Image) -> None:
    frames = 1 if image.format in ONE_PICTURE_IN_FRAMES else getattr(image, "n_frames", 1)
    if frames > 1:
        raise DatasetError(f"animated or several pages ({frames} frames); one still image is needed")


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in WIDE_GREY:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DatasetError("32-bit pixels have no fixed scale; convert the file to 8 or 16 bit")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")  # rounded to 8 bit
    if image.mode == "F":
        raise DatasetError("floating-point pixels have no fixed scale; convert the file to 8 or 16 bit")
    if image.mode == "La":
        image = image.convert("LA")
    if "transparency" in image.info or image.mode in {"RGBA", "RGBa", "LA", "PA"}:
        picture = image.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def resize(image: RGB, size: tuple[int, int]) -> RGB:
    """Resize (H, W, 3) uint8 to `size` = (height, width): area-averaged where it shrinks, bilinear where it grows."""
    shrunk = (min(size[0], image.shape[0]), min(size[1], image.shape[1]))
    return _resized(_resized(image, shrunk, cv2.INTER_AREA), size, cv2.INTER_LINEAR)


def resize_mask(mask: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize (H, W) uint8 to `size` = (height, width) by taking the nearest pixel."""
    # It samples from pixel centres, as `resize` does; INTER_NEAREST would shift the mask by up to half a pixel.
    return _resized(mask, size, cv2.INTER_NEAREST_EXACT)


def _resized(image: RGB, size: tuple[int, int], interpolation: int) -> RGB:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=interpolation), dtype=np.uint8)
