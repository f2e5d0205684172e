"""Disks that refuse to be written to, as real ones do."""

import contextlib
import resource
from collections.abc import Iterator

from lightning.pytorch.callbacks import Callback


@contextlib.contextmanager
def no_files_above(size: int) -> Iterator[None]:
    """Let the kernel refuse each write beyond `size` bytes of a file, inside the block: File too large."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class FullIn(Callback):
    """Lets no file have more than `size` bytes while some epochs last, before the optimiser step `until_step`."""

    def __init__(self, *epochs: int, size: int = 0, until_step: int | None = None) -> None:
        self.epochs, self.size, self.until_step, self._stack = epochs, size, until_step, contextlib.ExitStack()

    def on_train_epoch_start(self, trainer, pl_module):
        self.release()
        if trainer.current_epoch in self.epochs:
            self._stack.enter_context(no_files_above(self.size))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.until_step:
            self.release()

    def release(self):
        self._stack.close()
