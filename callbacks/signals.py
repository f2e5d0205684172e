"""Signals: while training they set a flag, at other times they end the run at once."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

import lightning
from lightning.pytorch.callbacks import Callback

from callbacks.errors import RunStopped
from callbacks.stderr import print_to_stderr

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
ECHO_SECONDS = 0.3


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

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals inside the block, and restore the previous handlers afterwards."""
        after = {number: signal.getsignal(number) for number in SIGNALS}
        self._install()
        try:
            yield
        except RunStopped:  # the process still has to write its status and to exit with the right code
            after = dict.fromkeys(SIGNALS, signal.SIG_IGN)
            raise
        finally:
            for number, handler in after.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if os.getpid() != self._process or now - self._received.get(number, -math.inf) < self.echo_seconds:
            return
        self._received[number] = now
        if not self._training or self.number:
            raise RunStopped(number)
        self.number = number
        print_to_stderr(f"{signal.Signals(number).name}: stopping after this step. Once more stops at once.")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Install the handlers again: Lightning has replaced them by now."""
        self._install()
        self._training = True

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop now if a signal came after the last checkpoint."""
        self._training = False
        if self.number:
            raise RunStopped(self.number)
