"""How long a GPU was idle between training steps, measured by the GPU itself."""

from collections import deque
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer

from callbacks.history import TimingWriter


class GPUTimingWriter(TimingWriter):
    """Adds to timing.csv the seconds in which the GPU had nothing to do between two training steps: ``idle``.

    Each step has an event at its begin and at its end in the GPU's own queue. Nothing waits for them: they are read once
    the GPU has passed them, at the latest when the epoch's scores have been read from it. Copies of batches count as idle.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._idle = 0.0
        self._events: deque[torch.Event] = deque()  # end, begin, end, begin, …

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the rows of earlier epochs; a resumed epoch does not start again."""
        super().on_train_start(trainer, pl_module)
        self._record()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the epoch's steps begin, on the GPU too."""
        super().on_train_epoch_start(trainer, pl_module)
        self._idle = 0.0
        self._events.clear()
        self._record()

    def on_train_batch_start(self, *_: Any) -> None:
        """Mark the begin of a step."""
        self._record()

    def on_train_batch_end(self, *_: Any) -> None:
        """Mark the end of a step."""
        self._record()
        self._read()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's row, with the seconds in which the GPU was idle."""
        self._read()
        self.measured = {"idle": round(self._idle, 3)}
        super().on_train_epoch_end(trainer, pl_module)

    def _record(self) -> None:
        event = torch.Event("cuda", enable_timing=True)
        event.record()
        self._events.append(event)

    def _read(self) -> None:
        while len(self._events) > 1 and self._events[1].query():
            end, begin = self._events.popleft(), self._events.popleft()
            self._idle += end.elapsed_time(begin) / 1000  # of milliseconds
