"""The record of a training: a row of history.csv and of timing.csv per epoch, and a line or a bar for the terminal."""

import contextlib
import itertools
import time
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from metrics.scores import TASKS, headline_scores
from run_files import EpochRow, read_csv
from run_folder import write_csv
from streams import print_to_stderr, waiting


def columns() -> list[str]:
    """Return the columns of history.csv, with every score that is registered for the headlines of a task."""
    scores = [f"{stream}/{score}" for stream in ("train_eval", "val") for score in ("loss", *headline_scores(*TASKS))]
    return ["epoch", "step", "lr", "train/loss", *scores, "seconds"]


class EpochRows(Callback):
    """A CSV file with a row per epoch. Rows that cannot be written are kept, and written with the next ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: list[dict[str, Any]] = []
        self._written = 0
        self._began = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the rows of earlier epochs, if there are any; a resumed epoch does not start again."""
        found = read_csv(self.path, EpochRow) if self.path.exists() else []
        self._rows = [dict(row) for row in found if int(row["epoch"]) < trainer.current_epoch]
        self._written, self._began = len(self._rows), time.monotonic()

    def write(self) -> None:
        """Write the rows that are not in the file yet, if there are any. Raises OSError."""
        if self._written < len(self._rows):
            # Earlier epochs may have a column that this process does not know.
            names = list(dict.fromkeys([*self._columns(), *itertools.chain(*self._rows)]))
            with waiting(f"{self.path} to be written"):
                write_csv(self.path, self._rows, names)
            self._written = len(self._rows)

    def _add(self, row: dict[str, Any], trainer: Trainer) -> None:
        if trainer.is_global_zero:
            self._rows.append(row)
            with contextlib.suppress(OSError):  # the next checkpoint tries again and reports it
                self.write()

    def _columns(self) -> list[str]:
        return []


class HistoryWriter(EpochRows):
    """Adds a row per epoch to history.csv: losses, scores, learning rate, and seconds since the last row."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's row; a score that was not computed is an empty cell."""
        metrics = trainer.callback_metrics
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **{name: float(metrics[name]) for name in columns() if name in metrics},
            "seconds": round(time.monotonic() - self._began, 3),
        }
        self._began = time.monotonic()
        self._add(row, trainer)

    def _columns(self) -> list[str]:
        return columns()


class TimingWriter(EpochRows):
    """Adds a row per epoch to timing.csv: the seconds of the training steps, and those in which the first process waited for batches.

    No device is waited for. Steps that a GPU has not ended yet may be computed during a wait: see `GPUTimingWriter`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._steps = 0.0
        self.measured: dict[str, float] = {}  # further columns of an epoch's row, from a device

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the epoch's steps begin."""
        self._began = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note how long the epoch's steps took."""
        self._steps = time.monotonic() - self._began

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's row, if the loader measures how long it is waited for."""
        loader: Any = trainer.train_dataloader
        if hasattr(loader, "waited"):
            waited = {"steps": round(self._steps, 3), "waited": round(loader.waited, 3), **self.measured}
            self._add({"epoch": trainer.current_epoch, **waited, "workers": loader.num_workers, "cached": int(loader.cached)}, trainer)  # fmt: skip


class EpochLines(Callback):
    """Prints one line per epoch to stderr: the losses and the score `headline`."""

    def __init__(self, headline: str) -> None:
        self.names = ("train/loss", "val/loss", f"train_eval/{headline}", f"val/{headline}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's losses and scores."""
        if trainer.is_global_zero:
            known = {name: trainer.callback_metrics[name] for name in self.names if name in trainer.callback_metrics}
            figures = "  ".join(f"{name} {float(value):.3f}" for name, value in known.items())
            print_to_stderr(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {figures}")
