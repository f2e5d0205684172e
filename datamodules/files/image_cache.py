"""Decoded, resized images or masks in one array file each, made once and mapped into memory by every process that reads them.

A file appears under its name only when it is whole: a stop at any moment and several processes at once do no harm.
"""

import contextlib
import fcntl
import hashlib
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datamodules.errors import DatasetError
from datamodules.loading.augmentation import Image
from run_folder import atomic

VERSION = 1  # goes up when reading or resizing changes pixels
LARGEST_UNASKED = 2 * 2**30  # bytes that cache=auto takes without being asked
FREE_SHARE_UNASKED = 0.1  # and the part of the free disk that it takes at most
SAID_ABOVE = 2**30  # bytes above which the user is told before the disk fills
PATIENCE = 1.0  # seconds without a progress bar
MOST_THREADS = 8
BLOCK = 256  # images decoded between two writes: neighbours of one frame stay together, and memory stays small


def cache_name(title: str, shape: tuple[int, ...], parts: Iterable[str]) -> str:
    """The file name of a cache: readable, and another one wherever the shape of a row or any of `parts` differs."""
    digest = hashlib.blake2b(f"{VERSION}\n{shape}".encode(), digest_size=16)
    for part in parts:
        digest.update(b"\0" + part.encode(errors="surrogateescape"))
    return f"{title}-{shape[0]}x{shape[1]}-{digest.hexdigest()}.npy"


def worth_caching(folder: Path, needed: int) -> bool:
    """Whether cache=auto keeps `needed` bytes in `folder`: they are few, the disk has plenty, the folder is ours."""
    if needed > LARGEST_UNASKED:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError:
        return False
    return needed <= FREE_SHARE_UNASKED * free and os.access(folder, os.W_OK)


def cached_images(
    path: Path, count: int, row_shape: tuple[int, ...], image: Callable[[int], Image], beside: int = 0
) -> NDArray[np.uint8]:
    """Open the cache at `path`; make it where there is none.

    Args:
        path: the file.
        count: how many images or masks it holds.
        row_shape: (height, width, 3) of its images, or (height, width) of its masks.
        image: from a row to its image or mask, uint8; called from several threads.
        beside: the bytes that will be needed for what follows, such as masks: nothing is begun that cannot be finished.

    Returns:
        (count, *row_shape) uint8, read-only, mapped from the file.

    Raises:
        DatasetError: the folder cannot be written or the disk lacks room; and whatever `image` raises.
    """
    shape = (count, *row_shape)
    ready = _opened(path, shape)
    if ready is not None:
        return ready
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _only_maker(path):
            ready = _opened(path, shape)
            if ready is None:
                _make(path, shape, image, beside)
                ready = _opened(path, shape)
    except OSError as error:
        raise DatasetError(
            f"the image cache {path} cannot be written: {error.strerror or error}. "
            "Choose another folder with data.cache_dir=FOLDER, or data.cache=false."
        ) from error
    assert ready is not None, "what was just written must be readable"
    return ready


def _opened(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The array at `path`; None where there is none, or one that is not whole."""
    try:
        array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


@contextlib.contextmanager
def _only_maker(path: Path) -> Iterator[None]:
    """Wait until no other process makes this cache; clear what a killed one left.

    Where the file system knows no locks, processes may make the same cache twice, and the last one's stays.
    """
    with path.with_suffix(".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            yield
            return
        for left in path.parent.glob(f".{path.name}.*.tmp"):
            left.unlink(missing_ok=True)
        yield


def _make(path: Path, shape: tuple[int, ...], image: Callable[[int], Image], beside: int) -> None:
    needed = math.prod(shape) + beside
    free = shutil.disk_usage(path.parent).free
    console = Console(stderr=True)
    if needed > free:
        raise DatasetError(
            f"the image cache needs {decimal(needed)} and {path.parent} has {decimal(free)} free; "
            "choose another folder with data.cache_dir=FOLDER, or data.cache=false."
        )
    if needed > SAID_ABOVE:
        console.print(
            f"Caching {shape[0]} images{' and their masks' if beside else ''} takes {decimal(needed)} in {path.parent}."
        )
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    cv2.setNumThreads(0)  # one thread per image is enough
    with (
        atomic(path) as file,
        ThreadPoolExecutor(threads) as pool,
        _patient_bar(console, shape[0]) as advance,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for first in range(0, shape[0], BLOCK):
            rows = range(first, min(first + BLOCK, shape[0]))
            for row in pool.map(image, rows):
                assert row.shape == shape[1:], f"an image of {row.shape} among {shape[1:]}"
                file.write(np.ascontiguousarray(row, dtype=np.uint8).data)
            advance(len(rows))


@contextlib.contextmanager
def _patient_bar(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar that shows itself only when the work takes longer than a moment."""
    columns = (TextColumn("caching images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=console.is_terminal)  # in a log the last state stays
    task = bar.add_task("", total=total)
    started = time.monotonic()

    def advance(count: int) -> None:
        bar.advance(task, count)
        if time.monotonic() - started > PATIENCE and not bar.live.is_started:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:  # to stop one that never was prints an empty line
            bar.stop()
