"""Stopping at a signal: at the end of the running step while training, at once otherwise."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from callbacks.errors import RunStopped

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopAtStep(Callback):
    """Turns a signal into RunStopped: after the running optimiser step while training, at once at other times.

    A second signal does not wait.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._training = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Answer signals inside; give the process its own handlers back afterwards."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self._install()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._hear)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if not self._training or self._number is not None:
            raise RunStopped(number)
        self._number = number
        print(f"{signal.Signals(number).name}: stopping after this step. Once more stops at once.", file=sys.stderr)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the signals back: Lightning has put handlers of its own in place by now."""
        self._install()
        self._training = True

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop here, where nothing is half done, if a signal came."""
        if self._number is not None:
            raise RunStopped(self._number)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Outside of steps there is nothing to wait for."""
        self._training = False

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Back to training."""
        self._training = trainer.state.fn == "fit"

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Outside of steps there is nothing to wait for."""
        self._training = False
