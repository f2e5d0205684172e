"""The record of a training: a row of history.csv per epoch, and a line or a bar for the terminal."""

import sys
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, RichProgressBar

from callbacks.stderr import tell
from run_folder import read_csv, write_csv

SCORES = ("loss", "accuracy", "f1_macro", "f1_weighted", "miou", "fwiou")
COLUMNS = (
    "epoch",
    "step",
    "lr",
    "train/loss",
    *(f"train_eval/{score}" for score in SCORES),
    *(f"val/{score}" for score in SCORES),
    "seconds",
)


class HistoryWriter(Callback):
    """Adds a row per epoch to history.csv: losses, scores, learning rate, and seconds since the last row.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: list[dict[str, Any]] = []
        self._began = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Read the rows of earlier epochs, if there are any."""
        rows = read_csv(self.path) if self.path.exists() else []
        self._rows = [dict(row) for row in rows if int(row["epoch"]) < trainer.current_epoch]
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the epoch's row; a score that was not computed is an empty cell."""
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name in COLUMNS}
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **scores,
            "seconds": round(time.monotonic() - self._began, 3),
        }
        self._began = time.monotonic()
        self._rows.append(row)
        if trainer.is_global_zero:
            write_csv(self.path, self._rows, COLUMNS)


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
