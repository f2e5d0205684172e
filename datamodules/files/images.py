"""Read any still image as 8-bit RGB, and resize it."""

import contextlib
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from datamodules.errors import DatasetError
from datamodules.files.bit_depth import DEEP, grey_of_8_bit, restore_low_bytes, stored_bits
from datamodules.files.image_files import NOT_PICTURES
from datamodules.files.other_files import UNREADABLE, known_otherwise

RGB = npt.NDArray[np.uint8]  # (H, W, 3)

# Their further frames are previews or layers of the one picture.
ONE_PICTURE_IN_FRAMES = frozenset({"MPO", "PSD"})
ORIENTATION = 274  # tag of EXIF


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(kind for kind in Image.ID if kind not in NOT_PICTURES)


def read_image(path: Path, bits: int | None = None) -> RGB:
    """Read a still image of any format and mode that Pillow reads. Returns (H, W, 3) uint8 RGB.

    The EXIF orientation is applied, pixels of up to 16 bit are scaled, transparent parts are composed over white. `bits` is
    how many bits are significant in files of more than 8 a channel; None: as the file has it, else all 16, and only where
    some pixel uses the highest. Pillow decodes, not OpenCV: OpenCV is faster on JPEG but returns the rest of a truncated one
    grey, without an error. Raises DatasetError naming the file and why it cannot be used, also where its pixels have no
    certain scale.
    """
    try:
        str(path).encode()
        content = path.read_bytes()
    except UnicodeEncodeError:  # no table and no message could name it
        name = str(path).encode(errors="backslashreplace").decode()
        raise DatasetError(f"{name}: its name is not valid UTF-8; rename it") from None
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    try:
        return decode_image(content, bits)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def decode_image(content: bytes, bits: int | None = None) -> RGB:
    """Decode the bytes of an image file as `read_image` does. Raises DatasetError with the reason alone."""
    return decode_turned(content, bits)[0]


def decode_turned(content: bytes, bits: int | None = None) -> tuple[RGB, int]:
    """Return `decode_image`, and the EXIF orientation (1–8) that was applied to it."""
    with still_image(content) as image:
        if stored_bits(image, content) > 8:
            restore_low_bytes(image, content, bits)
        orientation = turn_upright(image)
        return np.array(_as_rgb(image, content, bits)), orientation


def turn_upright(image: Image.Image) -> int:
    """Apply the EXIF orientation to a loaded picture, image and mask alike; returns which one (1–8) it was."""
    with contextlib.suppress(*UNREADABLE):  # EXIF that cannot be read is ignored
        orientation = int(image.getexif().get(ORIENTATION, 1))
        if orientation != 1:
            ImageOps.exif_transpose(image, in_place=True)
            return orientation
    return 1


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
        raise DatasetError(f"not an image, or damaged at its very beginning{known_otherwise(content)}") from error
    except UNREADABLE as error:
        raise DatasetError(f"damaged: {str(error).strip() or type(error).__name__}") from error


def _check_still(image: Image.Image) -> None:
    frames = 1 if image.format in ONE_PICTURE_IN_FRAMES else getattr(image, "n_frames", 1)
    if frames > 1:
        raise DatasetError(f"animated or several pages ({frames} frames); one still image is needed")


def _as_rgb(image: Image.Image, content: bytes, bits: int | None) -> Image.Image:
    if image.mode in DEEP:
        image = Image.fromarray(grey_of_8_bit(image, content, bits))
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
