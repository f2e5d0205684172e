"""Find image files, read any still image as 8-bit RGB, and resize it."""

import contextlib
import io
import os
import re
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
from datamodules.files.bit_depth import FULL_BITS, WIDE_GREY, restore_low_bytes, significant_bits, to_8_bit

RGB = npt.NDArray[np.uint8]  # (H, W, 3)

# Formats that Pillow lists but cannot open as a still picture by itself: EPS starts another program on the file,
# the others are video, metafiles, or stubs for libraries that are not installed.
NOT_PICTURES = frozenset({"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"})
# Their further frames are previews or layers of the one picture.
ONE_PICTURE_IN_FRAMES = frozenset({"MPO", "PSD"})
# Pictures that Pillow cannot read, at least not without plug-ins; and videos.
UNREADABLE_PICTURES = frozenset({".heic", ".heif", ".hif", ".avif", ".jxl", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf",
                                 ".rw2", ".raf", ".raw"})  # fmt: skip
VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".mts",
                    ".ogv"})  # fmt: skip
FRAMES_OF_VIDEO = "mkdir frames && ffmpeg -i {} -vf fps=1 frames/%06d.png"
# What operating systems and file servers leave in folders, beside hidden files.
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})
# Formats that are recognised by their first bytes alone, for files without an image's ending.
MARKED = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
NO_IMAGES = {  # what files with an image's ending may be instead, by their first bytes
    b"<": "it is a page of text in HTML or XML",
    b"version https://git-lfs": "it is a pointer of Git LFS: fetch the files with git lfs pull",
    b"%PDF": "it is a PDF",
    b"PK\x03\x04": "it is a zip archive",
}
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

    No folder is entered twice, whatever symbolic links there are. `ignored` counts by kind what is left out: hidden files
    and folders, and files that are no images; `further` extensions count as images'. Raises DatasetError where a folder
    cannot be listed.
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
        kept = visible_images(Path(place), files, ignored, further)
        found += [Path(place, name).relative_to(folder).as_posix() for name in kept]
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


def visible_images(
    folder: Path, files: Sequence[str], ignored: Counter[str], further: frozenset[str] = frozenset()
) -> list[str]:
    """Return which of a folder's files are visible images, sorted; `ignored` counts the others by kind.

    Images have the ending of a format that can be read, or a `further` one; or no ending, or more after it
    (``a.jpg?size=large``), and then the first bytes of an image.
    """
    images = []
    for name in visible(files, ignored):
        kind = None if Path(name).suffix.lower() in further else _other_kind(folder / name)
        if kind is None:
            images.append(name)
        else:
            ignored[kind] += 1
    return images


def _other_kind(file: Path) -> str | None:
    """Return what a file is that is no image, for a list of what is left out; None for an image."""
    ending = file.suffix.lower()
    if ending in image_extensions():
        return None
    if ending in UNREADABLE_PICTURES:
        return f"{ending[1:].upper()} pictures, which cannot be read"
    if ending in VIDEOS:
        return "videos"
    beginning = "." + re.split(r"[^a-z0-9]", ending[1:])[0]
    unsure = not re.search("[a-z]", ending) or (beginning != ending and beginning in image_extensions())
    if unsure and not ending.endswith("~") and file.is_file():
        with contextlib.suppress(*UNREADABLE), Image.open(file, formats=MARKED):
            return None
    return "files that are no images"


def remedy(left_out: Counter[str]) -> str:
    """Return sentences on what was found instead of images, and how to make images of it; empty for nothing."""
    found = [f"{kind} ({count})" for kind, count in sorted(left_out.items()) if count]
    sentences = [f"Found there: {', '.join(found)}."] if found else []
    if endings := sorted({kind.split()[0].lower() for kind in left_out if kind.endswith("cannot be read")}):
        sentences.append(f"Convert them first, for example with: magick mogrify -format jpg '*.{endings[0]}'")
    if left_out["videos"]:
        sentences.append(f"Extract frames first, for example with: {FRAMES_OF_VIDEO.format('VIDEO')}")
    return " ".join(sentences)


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
        raise DatasetError(f"not an image, or damaged at its very beginning{_known_otherwise(content)}") from error
    except UNREADABLE as error:
        raise DatasetError(f"damaged: {str(error).strip() or type(error).__name__}") from error


def _known_otherwise(content: bytes) -> str:
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        return "; it is a HEIC picture: convert it to JPEG or PNG"
    return next((f"; {what}" for start, what in NO_IMAGES.items() if content.lstrip().startswith(start)), "")


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


def _as_rgb(image: Image.Image, content: bytes, bits: int | None) -> Image.Image:
    if image.mode in WIDE_GREY:
        values = np.asarray(image).astype(np.int64)
        if values.min(initial=0) < 0:
            raise DatasetError("negative pixels have no fixed scale; convert the file to 8 or 16 bit")
        exact = image.format == "PPM"  # scaled to the whole range by its header
        stored = FULL_BITS if exact else stored_bits(image, content)
        grey = to_8_bit(values, FULL_BITS if exact else significant_bits(values, stored, content, bits))
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
