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
from PIL.TiffImagePlugin import TiffImageFile

from datamodules.errors import DatasetError

RGB = npt.NDArray[np.uint8]  # (H, W, 3)

# Formats that Pillow lists but cannot open as a still picture by itself: EPS starts another program on the file,
# the others are video, metafiles, or stubs for libraries that are not installed.
NOT_PICTURES = frozenset({"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"})
# Their further frames are previews or layers of the one picture.
ONE_PICTURE_IN_FRAMES = frozenset({"MPO", "PSD"})
WIDE_GREY = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
FULL_BITS = 16  # of the deepest pixels that are read
CODESTREAM = b"\xff\x4f\xff\x51"  # begins a JPEG 2000 image; 42 bytes on is the depth of its first channel, less one
BITS_PER_SAMPLE, ORIENTATION = 258, 274  # tags of TIFF and EXIF

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
    """Return the names that are not hidden, sorted; the others are counted in `ignored`."""
    shown = sorted(name for name in names if not name.startswith("."))
    ignored["hidden files or folders"] += len(names) - len(shown)
    return shown


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
            _restore_low_bytes(image, content, bits)
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


def stored_orientation(path: Path) -> int:
    """Return the EXIF orientation (1–8) of a file, 1 where it has none or is no image."""
    with contextlib.suppress(*UNREADABLE), Image.open(path) as image:
        return int(image.getexif().get(ORIENTATION, 1))
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
        raise DatasetError("not an image, or damaged at its very beginning") from error
    except UNREADABLE as error:
        raise DatasetError(f"damaged: {str(error).strip() or type(error).__name__}") from error


def _check_still(image: Image.Image) -> None:
    frames = 1 if image.format in ONE_PICTURE_IN_FRAMES else getattr(image, "n_frames", 1)
    if frames > 1:
        raise DatasetError(f"animated or several pages ({frames} frames); one still image is needed")


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


def _restore_low_bytes(image: Image.Image, content: bytes, bits: int | None) -> None:
    """Where 16-bit colours do not use their whole range, scale all of their bits, of which Pillow keeps the higher 8.

    Raises DatasetError where the pixels have no certain scale.
    """
    if image.mode in {*WIDE_GREY, "F"} or bits == FULL_BITS:
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
    scaled[..., :3] = _scaled(colours, _significant_bits(colours, FULL_BITS, content, bits))
    image.paste(Image.fromarray(scaled, image.mode))


def _significant_bits(values: npt.NDArray[np.int64], stored: int, content: bytes, bits: int | None) -> int:
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


def _scaled(values: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.uint8]:
    """Return pixels of `bits` rounded to 8 bit."""
    white = (1 << bits) - 1
    return ((values * 510 + white) // (2 * white)).astype(np.uint8)


def _as_rgb(image: Image.Image, content: bytes, bits: int | None) -> Image.Image:
    if image.mode in WIDE_GREY:
        values = np.asarray(image).astype(np.int64)
        if values.min(initial=0) < 0:
            raise DatasetError("negative pixels have no fixed scale; convert the file to 8 or 16 bit")
        exact = image.format == "PPM"  # scaled to the whole range by its header
        stored = FULL_BITS if exact else stored_bits(image, content)
        grey = _scaled(values, FULL_BITS if exact else _significant_bits(values, stored, content, bits))
        return Image.fromarray(grey).convert("RGB")
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
