"""Hearing a signal: while training it only sets a flag, at other times it ends the run at once."""

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
from callbacks.stderr import tell

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
ECHO_SECONDS = 0.3


class StopSignal(Callback):
    """Remembers the first signal while a run trains or validates; `Checkpoints` ends the run where nothing is lost.

    A second signal, and any signal outside of training, raises RunStopped at once. The same signal soon after is an echo
    of the first: ``timeout`` and batch systems send one to a process and to all around it, who pass it on. A process that
    was forked, such as a loader's worker, hears nothing.

    Args:
        echo_seconds: how long the same signal again is no second one.

    Attributes:
        number: of the signal that was heard, 0 for none.
    """

    def __init__(self, echo_seconds: float = ECHO_SECONDS) -> None:
        self.number = 0
        self.echo_seconds = echo_seconds
        self._training = False
        self._process = os.getpid()
        self._heard: dict[int, float] = {}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Answer signals inside; give the process its own handlers back afterwards.

        After a stop there is no way back: the process is about to end, and further signals are ignored, so that it still
        writes down that it was stopped and ends with the code it promised.
        """
        after = {number: signal.getsignal(number) for number in SIGNALS}
        self._install()
        try:
            yield
        except RunStopped:
            after = dict.fromkeys(SIGNALS, signal.SIG_IGN)
            raise
        finally:
            for number, handler in after.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._hear)

    def _hear(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if os.getpid() != self._process or now - self._heard.get(number, -math.inf) < self.echo_seconds:
            return
        self._heard[number] = now
        if not self._training or self.number:
            raise RunStopped(number)
        self.number = number
        tell(f"{signal.Signals(number).name}: stopping after this step. Once more stops at once.")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the signals back: Lightning has put handlers of its own in place by now."""
        self._install()
        self._training = True

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Outside of training there is nothing to wait for, nor for one that was heard after the last checkpoint."""
        self._training = False
        if self.number:
            raise RunStopped(self.number)
