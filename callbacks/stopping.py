"""Hearing a signal: while training it only sets a flag, at other times it ends the run at once."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import lightning
from lightning.pytorch.callbacks import Callback

from callbacks.errors import RunStopped

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopSignal(Callback):
    """Remembers the first signal while a run trains or validates; `Checkpoints` ends the run where nothing is lost.

    A second signal, and any signal outside of training, raises RunStopped at once.

    Attributes:
        number: of the signal that was heard, 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._training = False

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
        if not self._training or self.number:
            raise RunStopped(number)
        self.number = number
        print(
            f"{signal.Signals(number).name}: stopping after this step. Once more stops at once.",
            file=sys.stderr,
            flush=True,
        )

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the signals back: Lightning has put handlers of its own in place by now."""
        self._install()
        self._training = True

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Outside of training there is nothing to wait for."""
        self._training = False
