"""Images and masks at one size: read from their files, or mapped from a cache, which is one array file."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.filesize import decimal

from datamodules.errors import CacheError, DatasetError, UnreadableError
from datamodules.files.audit import LEASE_NAME, core_count, in_threads, only_maker
from datamodules.files.images import resize, resize_mask
from datamodules.files.other_files import UNREADABLE
from run_folder import LONGEST_NAME, atomic, fitting_name, name_part
from settings.data import DataSettings
from streams import print_to_stderr

Image = NDArray[np.uint8]  # (H, W, 3), or a mask (H, W)

VERSION = 2  # goes up when reading or resizing changes pixels
LARGEST_AUTOMATIC = 2 * 2**30  # bytes of the largest cache that cache=auto makes
FREE_SHARE_AUTOMATIC = 0.1  # and the part of the free disk that it takes at most
ANNOUNCED_ABOVE = 2**30  # bytes above which the size is printed before the disk fills
MOST_THREADS = 8


@dataclass(frozen=True, eq=False)
class ReadImages:
    """Images, or `masks`, read and resized on each access; an index is a place in `names`."""

    read: Callable[[str], Image]
    names: Sequence[str]
    size: tuple[int, int]  # (height, width) in pixels
    masks: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of each image, or mask."""
        return self.size if self.masks else (*self.size, 3)

    def __call__(self, index: int) -> Image:
        """Return the image of a sample, (height, width, 3) uint8, or its mask (height, width) of classes that it had before.

        Raises UnreadableError: its file was read before, when the dataset was checked.
        """
        try:
            found = self.read(self.names[index])
        except DatasetError as error:
            raise UnreadableError.after(error) from error
        return (resize_mask if self.masks else resize)(found, self.size)


ReadMasks = partial(ReadImages, masks=True)


class CachedImages:
    """Images or masks in an array (N, H, W, 3) or (N, H, W) uint8, usually mapped from a file; a row per index."""

    def __init__(self, array: NDArray[np.uint8], indices: Sequence[int]) -> None:
        # A plain view of the mapped memory: numpy's memmap class makes each access several times slower.
        self.array = np.asarray(array)
        self.image_bytes = self.array[0].nbytes if len(array) else 0
        self.rows = {index: row for row, index in enumerate(indices)}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the file's path in place of its content, for a spawned worker."""
        file = getattr(self.array.base, "filename", None)
        if file is None:
            return CachedImages, (self.array, list(self.rows))
        return _mapped, (file, list(self.rows))

    def __call__(self, index: int) -> Image:
        """Return the image of a sample, (H, W, 3) uint8, or its mask (H, W), read-only."""
        image: Image = self.array[self.rows[index]]
        return image


def _mapped(file: Path, indices: Sequence[int]) -> CachedImages:
    return CachedImages(np.load(file, mmap_mode="r", allow_pickle=False), indices)


def open_images(
    title: str,
    read: ReadImages,
    indices: Sequence[int],
    settings: DataSettings,
    facts: Iterable[str],
    sample_bytes: int,
) -> ReadImages | CachedImages:
    """Return the images or masks of some samples, by their places in the table; a cache is made now where there is none.

    A cache is valid as long as none of `facts` changes; where none is wanted they are not read. `sample_bytes` is the size of
    all that is cached of a sample: images come first, and have to leave room for their masks. One that cannot be written costs
    time: a warning is printed. Raises DatasetError, and UnreadableError for a file that has changed since it was checked,
    unless such files are skipped.
    """
    folder, wanted = Path(settings.cache_dir), settings.cache
    if wanted == "auto":
        wanted = worth_caching(folder, len(read.names) * sample_bytes)
    if not wanted:
        return read
    beside = len(indices) * (sample_bytes - math.prod(read.shape)) if len(read.shape) == 3 else 0
    try:
        path = folder / cache_name(title, read.shape, facts)
        array = cached_images(path, len(indices), read.shape, lambda row: read(indices[row]), beside)
    except CacheError as error:  # also after a training, whose evaluation must not fail for it
        print_to_stderr(f"warning: {error} Without it, images are read from their files, which takes longer.")
        return read
    except (UnreadableError, OSError) as error:
        if settings.on_corrupt == "fail":
            raise error if isinstance(error, UnreadableError) else UnreadableError.after(error) from error
        return read  # the others can be read, and where it is needed the one that cannot is skipped
    return CachedImages(array, indices)


def cache_name(title: str, shape: tuple[int, ...], parts: Iterable[str]) -> str:
    """Return the file name of a cache, another one wherever the shape of a row or any of `parts` differs."""
    digest = hashlib.blake2b(f"{VERSION}\n{shape}".encode(), digest_size=16)
    for part in parts:
        digest.update(b"\0" + part.encode(errors="surrogateescape"))
    ending = f"-{shape[0]}x{shape[1]}-{digest.hexdigest()}.npy"
    return fitting_name(name_part(title), ending, most=LONGEST_NAME - LEASE_NAME)


def worth_caching(folder: Path, needed: int) -> bool:
    """Return whether cache=auto keeps `needed` bytes: they are few, the disk has room, the folder is writable."""
    if needed > LARGEST_AUTOMATIC:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError:
        return False
    return needed <= FREE_SHARE_AUTOMATIC * free and os.access(folder, os.W_OK)


def cached_images(
    path: Path, count: int, row_shape: tuple[int, ...], image: Callable[[int], Image], beside: int = 0
) -> NDArray[np.uint8]:
    """Open the cache at `path`; make it where there is none, calling `image` of each row from several threads.

    It appears under its name only when it is whole: a stop at any moment and several processes at once do no harm.
    `beside` are the bytes needed for what follows, such as masks: none is begun that the disk has no room to finish.
    Returns (count, *row_shape) uint8, read-only, mapped from the file. Raises CacheError where it cannot be written.
    """
    shape = (count, *row_shape)
    ready = _opened(path, shape)
    if ready is not None:
        return ready
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with only_maker(path, lambda: _opened(path, shape) is not None):
            if _opened(path, shape) is None:
                _make(path, shape, image, beside)
    except OSError as error:
        raise CacheError(
            f"the image cache {path} cannot be written: {error.strerror or error}. "
            "Choose another folder with data.cache_dir=FOLDER, or data.cache=false."
        ) from error
    ready = _opened(path, shape)
    assert ready is not None, "what was just written must be readable"
    return ready


def _opened(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Return the array at `path`; None where there is none, or one that is not whole."""
    try:
        array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE:
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _make(path: Path, shape: tuple[int, ...], image: Callable[[int], Image], beside: int) -> None:
    needed, free = math.prod(shape) + beside, shutil.disk_usage(path.parent).free
    if needed > free:
        raise CacheError(
            f"the image cache needs {decimal(needed)} and {path.parent} has {decimal(free)} free; "
            "choose another folder with data.cache_dir=FOLDER, or data.cache=false."
        )
    if needed > ANNOUNCED_ABOVE:
        masks = " and their masks" if beside else ""
        Console(stderr=True).print(f"Caching {shape[0]} images{masks} takes {decimal(needed)} in {path.parent}.")
    cv2.setNumThreads(0)  # one thread per image is enough
    with atomic(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for row in in_threads(image, range(shape[0]), "caching images", min(MOST_THREADS, core_count())):
            assert row.shape == shape[1:], f"an image of {row.shape} among {shape[1:]}"
            file.write(np.ascontiguousarray(row, dtype=np.uint8).data)
