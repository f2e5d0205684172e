"""Signals: while training they set a flag, at other times they end the run at once."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from callbacks.errors import RunStopped, handled, signal_name
from streams import print_to_stderr

ECHO_SECONDS = 0.3
REPEATED = ("SIGXCPU",)  # sent each second by the kernel, until the run has ended


class StopSignal(Callback):
    """Records the first signal while a run trains or validates; `Checkpoints` then stops the run after saving its state.

    A second signal, and any signal outside of training, raises RunStopped at once. A repetition within `echo_seconds` is
    ignored: ``timeout`` and batch systems send a signal to a process and to its parents, which forward it. Forked
    processes, such as a loader's workers, ignore all signals.
    """

    def __init__(self, echo_seconds: float = ECHO_SECONDS) -> None:
        self.number = 0  # of the signal that was received; 0: none
        self.echo_seconds = echo_seconds
        self._training = False
        self._process = os.getpid()
        self._received: dict[int, float] = {}
        self._install: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals inside the block, and restore the previous handlers afterwards."""
        with handled(self._handle) as self._install:
            yield

    def _handle(self, number: int) -> None:
        now, echo = time.monotonic(), math.inf if signal_name(number) in REPEATED else self.echo_seconds
        if os.getpid() != self._process or now - self._received.get(number, -math.inf) < echo:
            return
        self._received[number] = now
        if not self._training or self.number:
            raise RunStopped(number)
        self.number = number
        print_to_stderr(f"{signal_name(number)}: stopping after this step. Once more stops at once.")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers again: Lightning has replaced them by now."""
        self._install()
        self._training = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop now if a signal came after the last checkpoint."""
        self._training = False
        if self.number:
            raise RunStopped(self.number)
