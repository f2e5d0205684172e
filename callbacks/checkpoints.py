"""best.ckpt and last.ckpt: when they are written, and how a run stops without losing progress; written by checkpoint_writer.py."""

import time
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from callbacks.checkpoint_writer import CheckpointWriter
from callbacks.errors import RunStopped
from callbacks.signals import StopSignal
from settings.training import CheckpointingSettings
from streams import print_to_stderr


class Checkpoints(Checkpoint):
    """Saves the state with the highest score `monitor`, and the last one also every n optimiser steps or minutes.

    While the run trains, `settings.keep` earlier last checkpoints stay as ``last-<step>.ckpt``, to resume from should last.ckpt
    be damaged. After a signal, last.ckpt is written at the next optimiser step and RunStopped raised. At an epoch's last
    step this waits for the validation, which Lightning would skip in a resumed epoch that has no batch left.
    """

    def __init__(self, folder: Path, monitor: str, signal: StopSignal, settings: CheckpointingSettings) -> None:
        self.writer = CheckpointWriter(folder, settings)
        self.monitor, self.signal, self.settings = monitor, signal, settings
        self.best_score: float | None = None
        self._stopped_early = False
        self._written_at = time.monotonic()
        self._group: Any = None

    @property
    def state_key(self) -> str:
        """The key of the state in a checkpoint, independent of the folder's name."""
        return "checkpoints"

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a resumed run."""
        return {"best_score": self.best_score, "stopped_early": self._stopped_early}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        state = checkpoint["callbacks"][self.state_key]
        self.best_score, self._stopped_early = state["best_score"], state["stopped_early"]
        exhausted = False
        for each in cast(Any, trainer).callbacks:
            if isinstance(each, EarlyStopping) and (saved := checkpoint["callbacks"].get(each.state_key)):
                saved["patience"] = each.patience  # not the earlier run's
                exhausted |= saved["wait_count"] >= each.patience
        self._stopped_early &= exhausted
        self.writer.step = checkpoint["global_step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a run that early stopping has ended stays ended."""
        if trainer.world_size > 1 and dist.get_backend() != "gloo":
            self._group = dist.new_group(backend="gloo")  # between the hosts: no GPU has to be waited for
        self._written_at = time.monotonic()
        trainer.should_stop = trainer.should_stop or self._stopped_early
        if self._stopped_early and trainer.is_global_zero:
            print_to_stderr(
                "Early stopping has ended this run: nothing more is trained. early_stopping.patience=… would change that."
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write last.ckpt if it is due, and stop if a signal was received."""
        done = batch_idx + 1
        if done % trainer.accumulate_grad_batches or done >= trainer.num_training_batches:
            return
        steps, minutes = self.settings.every_n_steps, self.settings.every_minutes
        by_steps = steps is not None and trainer.global_step % steps == 0
        waited = time.monotonic() - self._written_at
        by_time = minutes is not None and trainer.is_global_zero and waited >= 60 * minutes
        stop, due = self._largest(trainer, self.signal.number, by_steps or by_time)
        if stop or due:
            self.write_last(trainer)
        self._end_at(stop)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write best.ckpt if the score is the highest so far, then last.ckpt."""
        score = trainer.callback_metrics.get(self.monitor)
        better = self.best_score is None or (score is not None and float(score) > self.best_score)
        self._stopped_early = trainer.should_stop
        if better:
            self.best_score = None if score is None else float(score)
        self.write_last(trainer, better=better)
        [stop] = self._largest(trainer, self.signal.number)
        self._end_at(stop)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what could not be written before, or fail; remove the earlier checkpoints, also of a run with nothing left to train."""
        self.writer.end(trainer, self._largest)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let the mirror have what was written last; a second signal does not wait for it."""
        if not isinstance(exception, RunStopped):
            self.writer.end_mirror()

    def write_last(self, trainer: Trainer, *, better: bool = False) -> None:
        """Write last.ckpt, with `better` best.ckpt before it, and keep the one before; called on every rank."""
        self.writer.write(trainer, self._largest, better=better)
        self._written_at = time.monotonic()  # also where it failed: it is not tried again at once

    def _end_at(self, stop: int) -> None:
        """Raise RunStopped where there was a signal, once the mirror has what was written."""
        if stop:
            self.writer.end_mirror()
            raise RunStopped(stop)

    def _largest(self, trainer: Trainer, *numbers: int) -> list[int]:
        """Return the maximum of each number over the ranks, so that all decide alike on what only one of them observed."""
        tensor = torch.tensor(numbers)
        if trainer.world_size > 1:
            dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._group)
        return [int(number) for number in tensor.tolist()]
