"""Writing best.ckpt and last.ckpt on a disk that may be full, broken or slow: the files before stay whole, the training goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lightning import Trainer

from callbacks.history import EpochRows
from callbacks.links import link
from callbacks.mirror import Mirror
from lightning_modules.errors import TrainingError
from run_folder import atomic
from settings.training import CheckpointingSettings
from streams import print_to_stderr, waiting

Largest = Callable[..., list[int]]  # of a trainer and numbers: the maximum of each over the ranks


@dataclass(eq=False)
class CheckpointWriter:
    """The checkpoints in the folder `folder` of a run.

    What refers to something is written after it: first the rows of history.csv and timing.csv, then best.ckpt, then last.ckpt,
    which so never has an epoch without its row, or a best score without best.ckpt. Where a write fails, those after it are left
    out, what was to be written stays in memory, and the next checkpoint writes it, or what has replaced it. After more than
    `settings.failures_allowed` checkpoints in a row that failed, the run ends. The first rank alone writes; all ranks call
    `write` and `end`, and end together.
    """

    folder: Path
    settings: CheckpointingSettings
    step: int = 0  # optimiser steps taken by what is in last.ckpt
    _failures: int = 0  # in a row, on every rank
    _best: memoryview | None = None  # what is to be written
    _last: memoryview | None = None
    _step_of_last: int = 0
    _mirror: Mirror | None = None

    def write(self, trainer: Trainer, largest: Largest, *, better: bool) -> None:
        """Write the trainer's state as last.ckpt and, where it is `better`, as best.ckpt. Raises TrainingError after too many failures."""
        content: dict[str, memoryview] = {}
        # Here all ranks take part, and the state is only collected: an error of one rank would leave the others waiting.
        trainer.save_checkpoint(self.folder / "last.ckpt", storage_options=content)
        reason = None
        if trainer.is_global_zero:
            [self._last], self._step_of_last = content.values(), trainer.global_step
            self._best = self._last if better else self._best
            reason = self._write(trainer)
        self._count(trainer, largest, reason, self.settings.failures_allowed)

    def end(self, trainer: Trainer, largest: Largest) -> None:
        """Write what could not be written before, and remove the earlier checkpoints. Raises TrainingError where it still cannot be."""
        if self._failures:
            self._count(trainer, largest, self._write(trainer) if trainer.is_global_zero else None, 0)
        self.end_mirror()
        if trainer.is_global_zero:
            self._prune(keep=0)

    def end_mirror(self) -> None:
        """Wait until the mirror has what was written last."""
        if self._mirror is not None:
            self._mirror.end()

    def _write(self, trainer: Trainer) -> str | None:
        """Write what is not on disk yet; return which file cannot be written and why."""
        best, last, same = self.folder / "best.ckpt", self.folder / "last.ckpt", False
        path = self.folder
        try:
            path.mkdir(parents=True, exist_ok=True)
            for each in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(each, EpochRows):
                    path = each.path
                    each.write()
            if self._best is not None:
                path, same = best, self._best is self._last
                _write(path, self._best)
                self._best = None
            if self._last is not None:
                path = last
                if last.exists() and self.settings.keep:
                    link(last, self.folder / f"last-{self.step:08d}.ckpt")
                link(best, last) if same else _write(last, self._last)
                self._last, self.step = None, self._step_of_last
            self._prune(self.settings.keep)
        except OSError as error:
            return f"{path} cannot be written: {error.strerror or error}"
        if self.settings.mirror is not None:
            self._mirror = self._mirror or Mirror(self.folder.parent, Path(self.settings.mirror))
            self._mirror.copy(self.step)
        return None

    def _count(self, trainer: Trainer, largest: Largest, reason: str | None, allowed: int) -> None:
        """Count a failure, on every rank, and report it; start again after a success."""
        [failed] = largest(trainer, reason is not None)
        self._failures = self._failures + 1 if failed else 0
        if self._failures > allowed:
            times = f", {self._failures} times in a row" if self._failures > 1 else ""
            kept = f"the checkpoint of step {self.step} is whole" if self.step else "there is no checkpoint yet"
            again = f"Make room and go on, {kept}: python train.py resume={self.folder.parent}"
            raise TrainingError(trainer.strategy.broadcast(f"{reason}{times}. {again}"))
        if reason is not None:
            print_to_stderr(
                f"warning: {reason}. The file before stays as it was, the training goes on, and the next checkpoint tries again. "
                f"Failures in a row: {self._failures}, of which {allowed} are survived (checkpointing.failures_allowed)."
            )

    def _prune(self, keep: int) -> None:
        for path in earlier(self.folder)[keep:]:
            path.unlink()


def _write(path: Path, content: memoryview) -> None:
    with waiting(f"{path} to be written"), atomic(path) as file:
        file.write(content)


def earlier(folder: Path) -> list[Path]:
    """Return the earlier last checkpoints, the newest first."""
    return sorted(folder.glob("last-*.ckpt"), reverse=True)
