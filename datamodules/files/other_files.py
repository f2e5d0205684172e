"""What files are that are no images, and how to make images of them."""

import contextlib
import re
import struct
import tokenize
import zlib
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from PIL import Image

# What Pillow raises for bytes that are no picture, or a broken one, and numpy for a broken array.
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, AttributeError, RuntimeError,
              MemoryError, struct.error, zlib.error, tokenize.TokenError, Image.DecompressionBombError)  # fmt: skip
# Pictures that Pillow cannot read, at least not without plug-ins; and videos.
UNREADABLE_PICTURES = frozenset({".heic", ".heif", ".hif", ".avif", ".jxl", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf",
                                 ".rw2", ".raf", ".raw"})  # fmt: skip
VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".mts",
                    ".ogv"})  # fmt: skip
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
FRAMES_OF_VIDEO = "mkdir frames && ffmpeg -i {} -vf fps=1 frames/%06d.png"
# Formats that are recognised by their first bytes alone, for files without an image's ending.
MARKED = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
NO_IMAGES = {  # what files with an image's ending may be instead, by their first bytes
    b"<": "it is a page of text in HTML or XML",
    b"version https://git-lfs": "it is a pointer of Git LFS: fetch the files with git lfs pull",
    b"%PDF": "it is a PDF",
    b"PK\x03\x04": "it is a zip archive",
}


def kind_of(file: Path, image_endings: Collection[str]) -> str | None:
    """Return what a file without an image's ending is, for a list of what is left out; None for an image."""
    ending = file.suffix.lower()
    if ending in UNREADABLE_PICTURES:
        return f"{ending[1:].upper()} pictures, which cannot be read"
    if is_video(file):
        return "videos"
    if ending in ARCHIVES:
        return "archives"
    beginning = "." + re.split(r"[^a-z0-9]", ending[1:])[0]
    unsure = not re.search("[a-z]", ending) or (beginning != ending and beginning in image_endings)
    if unsure and not ending.endswith("~") and file.is_file():
        with contextlib.suppress(*UNREADABLE), Image.open(file, formats=MARKED):
            return None
    return "files that are no images"


def is_video(path: Path) -> bool:
    """Return whether a file is called as a video is."""
    return path.suffix.lower() in VIDEOS


def remedy(left_out: Counter[str]) -> str:
    """Return sentences on what was found instead of images, and how to make images of it; empty for nothing."""
    found = [f"{kind} ({count})" for kind, count in sorted(left_out.items()) if count]
    sentences = [f"Found there: {', '.join(found)}."] if found else []
    if endings := sorted({kind.split()[0].lower() for kind in left_out if kind.endswith("cannot be read")}):
        sentences.append(f"Convert them first, for example with: magick mogrify -format jpg '*.{endings[0]}'")
    if left_out["archives"]:
        sentences.append("Unpack archives first.")
    if left_out["videos"]:
        sentences.append(f"Extract frames first, for example with: {FRAMES_OF_VIDEO.format('VIDEO')}")
    return " ".join(sentences)


def known_otherwise(content: bytes) -> str:
    """Return what bytes are that are no image Pillow knows, to be appended to a message; empty where that is not known."""
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        return "; it is a HEIC picture: convert it to JPEG or PNG"
    return next((f"; {what}" for start, what in NO_IMAGES.items() if content.lstrip().startswith(start)), "")
