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
from PIL.TiffImagePlugin import TiffImageFile

from datamodules.errors import DatasetError
from datamodules.files.image_files import NOT_PICTURES
from datamodules.files.other_files import UNREADABLE, known_otherwise

WIDE_GREY = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
DEEP = WIDE_GREY | {"F"}  # modes of greys that need a scale; Pillow reads colours with 8 bits only
FULL_BITS = 16  # of the deepest pixels that are read
CODESTREAM = b"\xff\x4f\xff\x51"  # begins a JPEG 2000 image; 42 bytes on is the depth of its first channel, less one
BITS_PER_SAMPLE = 258  # tag of TIFF
RGB = npt.NDArray[np.uint8]  # (H, W, 3)

# Their further frames are previews or layers of the one picture.
ONE_PICTURE_IN_FRAMES = frozenset({"MPO", "PSD"})
ORIENTATION = 274  # tag of EXIF


def stored_bits(image: Image.Image, content: bytes) -> int:
    """Return the bits of a channel in a file; 8 where Pillow has scaled them as the file's header demands."""
    if image.format == "PNG":
        return content[24]
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))))
    if image.format == "JPEG2000":
        depth = (content[content.find(CODESTREAM) + 42] & 127) + 1
        return depth if depth >= FULL_BITS else 8
    if image.format == "SGI":
        return 8 * content[3]
    return {"F": 32, "I": 32}.get(image.mode, 16 if image.mode in WIDE_GREY else 8) if image.format != "PPM" else 8


def grey_of_8_bit(image: Image.Image, content: bytes, bits: int | None) -> npt.NDArray[np.uint8]:
    """Return the greys (H, W) of a `DEEP` image; `bits` as in `read_image`. Raises DatasetError where they have no scale."""
    if image.mode == "F":
        raise DatasetError("floating-point pixels have no fixed scale; convert the file to 8 or 16 bit")
    values = np.asarray(image).astype(np.int64)
    if values.min(initial=0) < 0:
        raise DatasetError("negative pixels have no fixed scale; convert the file to 8 or 16 bit")
    if image.format == "PPM":  # scaled to the whole range by its header
        return to_8_bit(values, FULL_BITS)
    return to_8_bit(values, significant_bits(values, stored_bits(image, content), content, bits))


def restore_low_bytes(image: Image.Image, content: bytes, bits: int | None) -> None:
    """Scale 16-bit colours, of which Pillow keeps 8, by the bits in use. Raises DatasetError if uncertain."""
    if image.mode in DEEP or bits == FULL_BITS:
        return
    shown = np.asarray(image)
    if bits is None and shown[..., :3].max(initial=0) >= 128:
        return
    wide = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if wide is not None and wide.ndim == 3:
        wide = wide[..., [2, 1, 0, 3][: wide.shape[2]]]
    if wide is None or wide.dtype != np.uint16 or not np.array_equal(wide // 256, shown):
        raise DatasetError(f"16-bit colours ({image.mode}) without a certain scale; convert the file to 8 bit")
    colours = wide[..., :3].astype(np.int64)
    scaled = np.array(shown)  # alpha has its whole range
    scaled[..., :3] = to_8_bit(colours, significant_bits(colours, FULL_BITS, content, bits))
    image.paste(Image.fromarray(scaled, image.mode))


def significant_bits(values: npt.NDArray[np.int64], stored: int, content: bytes, bits: int | None) -> int:
    """Return by how many bits pixels of more than 8 are to be scaled. Raises DatasetError where that is not certain."""
    top = int(values.max(initial=0))
    known = bits if bits is not None else stored if stored < FULL_BITS else None
    if known is not None:
        if top >= 1 << known:
            raise DatasetError(f"pixels up to {top}, more than {known} bits (data.bit_depth) can hold")
        return known
    if stored > FULL_BITS:
        raise DatasetError(f"{stored}-bit pixels have no fixed scale; convert the file to 8 or 16 bit")
    noted = _noted_bits(content)
    if top == 0 or top >= 1 << FULL_BITS - 1 or (noted is not None and top >= 1 << noted) or noted == FULL_BITS:
        return FULL_BITS  # PNG wants pixels of fewer bits shifted to the highest ones; cameras leave them at the lowest
    if noted is not None and (values & ((1 << FULL_BITS - noted) - 1)).any():
        return noted
    least = max(8, top.bit_length() + top.bit_length() % 2)
    raise DatasetError(
        f"16-bit pixels up to {top} only, which have no certain scale: type data.bit_depth={least} where white is "
        f"{(1 << least) - 1}, or data.bit_depth=16 where it is 65535 and the picture is dark"
    )


def _noted_bits(content: bytes) -> int | None:
    """Return the significant bits of colours that a PNG's chunk sBIT has; None where there is none."""
    place = 8
    while content[:4] == b"\x89PNG" and content[place + 4 : place + 8] not in (b"IDAT", b""):
        length = int.from_bytes(content[place : place + 4])
        if content[place + 4 : place + 8] == b"sBIT":
            return max(content[place + 8 : place + 8 + min(length, 3)], default=None)
        place += 12 + length
    return None


def to_8_bit(values: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.uint8]:
    """Return pixels of `bits` rounded to 8 bit."""
    white = (1 << bits) - 1
    return ((values * 510 + white) // (2 * white)).astype(np.uint8)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(kind for kind in Image.ID if kind not in NOT_PICTURES)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file. Raises OSError, also for a pipe or a device, which may have no end."""
    if not path.is_file() and not path.is_dir() and path.exists():
        raise OSError("not a regular file")
    return path.read_bytes()


def read_image(path: Path, bits: int | None = None, least: tuple[int, int] | None = None) -> RGB:
    """Read a still image of any format and mode that Pillow reads. Returns (H, W, 3) uint8 RGB.

    The EXIF orientation is applied, pixels of up to 16 bit are scaled, transparent parts are composed over white. `bits` is
    how many bits are significant in files of more than 8 a channel; None: as the file has it, else all 16, and only where
    some pixel uses the highest. Pillow decodes, not OpenCV: OpenCV is faster on JPEG but returns the rest of a truncated one
    grey, without an error. A JPEG is decoded at a half, a quarter or an eighth of its size where that leaves at least
    `least` (height, width) in any orientation. Raises DatasetError naming the file and why it cannot be used, also where its pixels have no
    certain scale.
    """
    try:
        str(path).encode()
        content = read_bytes(path)
    except UnicodeEncodeError:  # no table and no message could name it
        name = str(path).encode(errors="backslashreplace").decode()
        raise DatasetError(f"{name}: its name is not valid UTF-8; rename it") from None
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    try:
        return decode_turned(content, bits, least)[0]
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def decode_image(content: bytes, bits: int | None = None) -> RGB:
    """Decode the bytes of an image file as `read_image` does. Raises DatasetError with the reason alone."""
    return decode_turned(content, bits)[0]


def decode_turned(content: bytes, bits: int | None = None, least: tuple[int, int] | None = None) -> tuple[RGB, int]:
    """Return `decode_image`, and the EXIF orientation (1–8) that was applied to it; `least` as in `read_image`."""
    with still_image(content, least) as image:
        if stored_bits(image, content) > 8:
            restore_low_bytes(image, content, bits)
        orientation = turn_upright(image)
        return np.array(_as_rgb(image, content, bits)), orientation


def from_pillow(image: Image.Image, bits: int | None = None) -> RGB:
    """Return a PIL image as `read_image` does that of a file; of 16-bit colours Pillow has kept 8 bits."""
    image = image.copy()
    turn_upright(image)
    return np.array(_as_rgb(image, b"", bits))


def turn_upright(image: Image.Image) -> int:
    """Apply the EXIF orientation to a loaded picture, image and mask alike; returns which one (1–8) it was."""
    with contextlib.suppress(*UNREADABLE):  # EXIF that cannot be read is ignored
        orientation = int(image.getexif().get(ORIENTATION, 1))
        if orientation != 1:
            ImageOps.exif_transpose(image, in_place=True)
            return orientation
    return 1


@contextlib.contextmanager
def still_image(content: bytes, least: tuple[int, int] | None = None) -> Iterator[Image.Image]:
    """Yield the picture of an image file, loaded, as stored. Raises DatasetError, also for errors inside `with`.

    A JPEG is loaded smaller where that leaves at least `least` (height, width) in any orientation.
    """
    if not content:
        raise DatasetError("empty file (0 bytes)")
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            _check_still(image)
            if least is not None:
                image.draft(None, (max(least), max(least)))
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
