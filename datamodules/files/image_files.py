"""Find the image files in folders."""

import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.other_files import kind_of
from run_folder import is_run

# Formats that Pillow lists but cannot open as a still picture by itself: EPS starts another program on the file,
# the others are video, metafiles, or stubs for libraries that are not installed.
NOT_PICTURES = frozenset({"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"})
# What operating systems and file servers leave in folders, beside hidden files.
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})

RUNS = "run folders"


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

    No folder is entered twice, whatever symbolic links there are, and none of a run, which has figures. `ignored` counts by
    kind what is left out: hidden files and folders, and files that are no images; `further` extensions count as images'.
    Raises DatasetError where a folder cannot be listed.
    """
    found, entered = [], set()
    ignored = Counter() if ignored is None else ignored
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=follow_links):
        facts = Path(place).stat()
        if (facts.st_dev, facts.st_ino) in entered:
            folders.clear()
            continue
        entered.add((facts.st_dev, facts.st_ino))
        shown = visible(folders, ignored)
        runs = [name for name in shown if Path(place, name, "overrides.txt").is_file() and is_run(Path(place, name))]
        folders[:] = [name for name in shown if name not in runs]
        ignored.update({RUNS: len(runs)} if runs else {})
        kept = visible_images(Path(place), files, ignored, further)
        found += [Path(place, name).relative_to(folder).as_posix() for name in kept]
    return found


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder. Raises DatasetError where it cannot be listed."""
    _, folders, files = next(os.walk(folder, onerror=_refuse))
    return folders, files


def inner_folders(root: Path) -> dict[str, list[str]]:
    """Return the visible folders in a folder, and those in each of them, sorted."""
    unused: Counter[str] = Counter()
    return {name: visible(list_folder(root / name)[0], unused) for name in visible(list_folder(root)[0], unused)}


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
    endings, images = image_extensions() | further, []
    for name in visible(files, ignored):
        known = Path(name).suffix.lower() in endings
        if (kind := None if known else kind_of(folder / name, image_extensions())) is None:
            images.append(name)
        else:
            ignored[kind] += 1
    return images


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{error.filename} cannot be listed: {error.strerror}.")
