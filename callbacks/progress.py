"""Progress of a training: a bar on a terminal, a line per epoch in a log."""

import sys

import lightning
from lightning.pytorch.callbacks import Callback, RichProgressBar

from callbacks.stderr import tell


def wants_bar(wanted: str | bool) -> bool:
    """Return whether to show a bar: as requested, or with ``auto`` if stderr is a terminal."""
    return sys.stderr.isatty() if wanted == "auto" else bool(wanted)


def progress_bar() -> RichProgressBar:
    """Return a bar on stderr with the loss and the main scores."""
    return RichProgressBar(leave=True, console_kwargs={"stderr": True})


class EpochLines(Callback):
    """Prints one line per epoch to stderr.

    Args:
        headline: the score that is printed with the losses.
    """

    def __init__(self, headline: str) -> None:
        self.names = ("train/loss", "val/loss", f"train_eval/{headline}", f"val/{headline}")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print the epoch's losses and scores."""
        if trainer.is_global_zero:
            known = {name: trainer.callback_metrics[name] for name in self.names if name in trainer.callback_metrics}
            figures = "  ".join(f"{name} {float(value):.3f}" for name, value in known.items())
            tell(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {figures}")
