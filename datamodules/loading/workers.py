"""The processes that read images: how they start and end, and how they pass batches on."""

import atexit
import multiprocessing
import os
import signal
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, cast

import cv2
import torch
from rich.filesize import decimal

from datamodules.errors import DatasetError

NOTICED_SECONDS = 5.0
# What a terminal, a batch system or a time limit sends to all processes at once; the main process decides what follows.
OF_GROUPS = {
    getattr(signal, f"SIG{name}", signal.SIGINT) for name in ("INT", "HUP", "QUIT", "USR1", "USR2", "XCPU", "ALRM")
}


def start_method() -> str:
    """How workers are started: forked on Linux, unless ``multiprocessing.set_start_method("spawn")`` was called."""
    # A forked worker starts in a fraction of a second and shares the caches; a fresh interpreter would import torch anew for
    # every epoch. A worker computes with one thread and never touches the device; against what else may go wrong when
    # forking beside threads there are `entry.distributed.rendezvous.together` and the timeout.
    spawned = multiprocessing.get_start_method(allow_none=True) == "spawn" or sys.platform != "linux"
    return "spawn" if spawned else "fork"


@atexit.register
def end_workers() -> None:
    """End the processes that still read images: Python would wait for them, which wait for it."""
    if children := multiprocessing.active_children():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise an error for each
        for child in children:
            child.kill()


def start_worker(_worker: int) -> None:
    """Limit a reading process to one thread, as there is one process per core already; let it survive one SIGTERM."""
    signal.signal(signal.SIGTERM, _exit_at_the_second)
    for number in OF_GROUPS:
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _exit_at_the_second(number: int, _: FrameType | None) -> None:
    # The first was sent to all processes: the run ends after its step, which still needs batches. A loader that
    # terminates a worker sends one when it is closed and another when its process ends.
    signal.signal(number, lambda *_: os._exit(0))


def notice_ended(batches: Any) -> None:
    """Make torch's iterator over a loader with workers raise its RuntimeError within NOTICED_SECONDS after one of them was killed.

    torch looks for these when a wait is over, and relies on SIGCHLD before: the error of its handler is lost where that
    arrives in a finaliser, such as that of an earlier loader.
    """
    wait, waiter = type(batches)._try_get_data, weakref.proxy(batches)  # noqa: SLF001  the iterator must not keep itself

    def wait_in_parts(timeout: float) -> tuple[bool, Any]:
        until = time.monotonic() + timeout
        while True:
            left = until - time.monotonic()
            found: tuple[bool, Any] = wait(waiter, max(0.0, min(left, NOTICED_SECONDS)))
            if found[0] or left <= NOTICED_SECONDS:
                return found

    batches._try_get_data = wait_in_parts  # noqa: SLF001


def collate_shared(collate_fn: Callable[[list[Any]], dict[str, Any]], items: list[Any]) -> dict[str, Any]:
    """Collate, and move each tensor to shared memory: the thread that sends batches would only print a lack of it."""
    batch = collate_fn(items)
    for value in filter(torch.is_tensor, batch.values()):
        cast(Any, value).share_memory_()
    return batch


def too_many_workers(requested: int, room: int, batch_bytes: int, shared: Path, free: int) -> DatasetError:
    """Return the refusal of more reading processes than `shared` memory has room for."""
    return DatasetError(
        f"data.num_workers={requested}: batches of {decimal(batch_bytes)} go through shared memory, where {shared} has {decimal(free)} "
        f"free. Type data.num_workers={room}, or enlarge it, for example with docker run --shm-size=1g."
    )
