"""How long the main thread of a rank has computed nothing, and where it is: what tells a hung rank from a busy one."""

import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch.distributed as dist

IDLE_SHARE = 0.02  # of a core: signs of life and a status file take less, anything that is computed takes more
# Frames of an exchange with the other ranks; a backward pass ends with that of the gradients.
EXCHANGES = ("torch/distributed/", "torch/nn/parallel/distributed.py", "torch/autograd/graph.py")
# Frames of waiting for a disk, or for a logger, which have limits of their own.
SLOW_DISKS = ("torch/utils/data/", "/datamodules/", "/reports/", "/run_folder.py", "/checkpoint_io.py", "/wandb/")


class Still(NamedTuple):
    """That a main thread has been at one place, computing nothing: for how many seconds, in an exchange or elsewhere, and where."""

    seconds: float = 0.0
    exchanging: bool = False
    place: str = ""


class Stillness:
    """The main thread of this process, as another thread looks at it from time to time."""

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._place: list[Any] = []
        self._computed = time.process_time()
        self._seconds = 0.0

    def look(self, passed: float) -> Still:
        """Return for how long it has been still, `passed` seconds after the last look; 0 outside of a process group."""
        computed, before = time.process_time(), self._place
        frames = _frames(sys._current_frames().get(self._main or 0))  # noqa: SLF001  documented, for debugging
        self._place = [(frame.f_code, frame.f_lasti) for frame in frames]
        # A rank that waits for a GPU may look at it all the time.
        idle = computed - self._computed < IDLE_SHARE * passed or (
            dist.is_initialized() and dist.get_backend() == "nccl"
        )
        self._computed = computed
        still = dist.is_initialized() and idle and before == self._place and not _any_of(frames, SLOW_DISKS)
        self._seconds = self._seconds + passed if still else 0.0
        if not self._seconds:
            return Still()
        inner = frames[0]
        file = "/".join(Path(inner.f_code.co_filename).parts[-2:])
        return Still(self._seconds, _any_of(frames, EXCHANGES), f"{inner.f_code.co_name} ({file}:{inner.f_lineno})")


def _frames(frame: FrameType | None) -> list[FrameType]:
    """Return a frame and those around it, the innermost first."""
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def _any_of(frames: list[FrameType], places: tuple[str, ...]) -> bool:
    return any(place in frame.f_code.co_filename.replace(os.sep, "/") for frame in frames for place in places)
