"""best.ckpt and last.ckpt: when they are written, and how a run stops so that nothing is lost."""

import os
import shutil
import time
from pathlib import Path
from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from callbacks.agreement import Agreement
from callbacks.errors import RunStopped
from callbacks.signals import StopSignal
from callbacks.stderr import tell


class Checkpoints(Checkpoint):
    """Keeps the state with the highest score and the last one, the latter also within an epoch.

    What was last before stays as ``last-<step>.ckpt`` while the run trains: should last.ckpt get damaged, the run goes
    on from there. After a signal the last checkpoint is written at the next optimiser step, and RunStopped raised. Not
    at an epoch's last step: Lightning would leave out the validation of an epoch that has no batch left, so there it
    waits for the validation.

    Args:
        folder: where the files go.
        monitor: the score; the highest is the best.
        signal: what was heard on this rank.
        every_n_steps: optimiser steps between two checkpoints within an epoch; None: by time only.
        every_minutes: minutes between two, as the first rank's clock says; None: by steps only.
        keep: how many earlier ones stay.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        signal: StopSignal,
        every_n_steps: int | None = None,
        every_minutes: float | None = None,
        keep: int = 1,
    ) -> None:
        self.folder, self.monitor, self.signal = folder, monitor, signal
        self.every_n_steps, self.every_minutes, self.keep = every_n_steps, every_minutes, keep
        self.best_score: float | None = None
        self._stopped_early = False
        self._step_of_last = 0
        self._written_at = time.monotonic()
        self._agreement: Agreement

    @property
    def state_key(self) -> str:
        """Under which the state lies in a checkpoint, whatever the folder is called now."""
        return "checkpoints"

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {"best_score": self.best_score, "stopped_early": self._stopped_early}

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take up the state of a checkpoint."""
        state = checkpoint["callbacks"][self.state_key]
        self.best_score, self._stopped_early = state["best_score"], state["stopped_early"]
        patient = [each for each in cast(Any, trainer).callbacks if isinstance(each, EarlyStopping)]
        waits = {
            each: checkpoint["callbacks"][each.state_key]
            for each in patient
            if each.state_key in checkpoint["callbacks"]
        }
        for each, wait in waits.items():
            wait["patience"] = each.patience  # it would take up the one that the run had before
        self._stopped_early &= any(wait["wait_count"] >= each.patience for each, wait in waits.items())
        self._step_of_last = checkpoint["global_step"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock; a run that early stopping had ended stays ended."""
        self._agreement = Agreement()
        self._written_at = time.monotonic()
        trainer.should_stop = trainer.should_stop or self._stopped_early
        if self._stopped_early and trainer.is_global_zero:
            tell(
                "Early stopping has ended this run: nothing more is trained. early_stopping.patience=… would change that."
            )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write last.ckpt where that is due, and stop where that was asked for."""
        done = batch_idx + 1
        if done % trainer.accumulate_grad_batches or done >= trainer.num_training_batches:
            return
        stop, due = self._agreement.largest([self.signal.number, self._due(trainer)])
        if stop or due:
            self._write_last(trainer)
        if stop:
            raise RunStopped(stop)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write best.ckpt where the score is the highest so far, then last.ckpt."""
        score = trainer.callback_metrics.get(self.monitor)
        better = self.best_score is None or (score is not None and float(score) > self.best_score)
        self._stopped_early = trainer.should_stop
        if better:
            self.best_score = None if score is None else float(score)
            trainer.save_checkpoint(self.folder / "best.ckpt")
        # The best first: between the two a stop must not leave a last one that believes in a best one that is not there.
        self._write_last(trainer, same_as_best=better)
        [stop] = self._agreement.largest([self.signal.number])
        if stop:
            raise RunStopped(stop)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """A run that is through needs no earlier checkpoint, nor one that was killed when it was and had nothing left to train."""
        if trainer.is_global_zero:
            self._prune(keep=0)

    def _due(self, trainer: lightning.Trainer) -> bool:
        by_steps = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        waited = time.monotonic() - self._written_at
        by_time = self.every_minutes is not None and trainer.is_global_zero and waited >= 60 * self.every_minutes
        return by_steps or by_time

    def _write_last(self, trainer: lightning.Trainer, *, same_as_best: bool = False) -> None:
        """Called on every rank."""
        last = self.folder / "last.ckpt"
        if trainer.is_global_zero and last.exists() and self.keep:
            link(last, self.folder / f"last-{self._step_of_last:08d}.ckpt")
        if not same_as_best:
            trainer.save_checkpoint(last)
        elif trainer.is_global_zero:
            link(self.folder / "best.ckpt", last)
        self._step_of_last = trainer.global_step
        self._written_at = time.monotonic()
        if trainer.is_global_zero:
            self._prune(self.keep)

    def _prune(self, keep: int) -> None:
        for path in earlier(self.folder)[keep:]:
            path.unlink()


def earlier(folder: Path) -> list[Path]:
    """The checkpoints that were last before last.ckpt, the newest first."""
    return sorted(folder.glob("last-*.ckpt"), reverse=True)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, in place of what had that name; where the file system cannot, copy it."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # to rename a name of the same file does nothing
