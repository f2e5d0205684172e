"""With data.on_corrupt=skip: the record of samples whose files could not be read any more while a run went on."""

import contextlib
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from datamodules.errors import UnreadableError
from run_files import read_csv
from run_folder import write_csv
from streams import print_to_stderr

COLUMNS = ("epoch", "part", "sample", "reason")


class SkippedSamples(Callback):
    """Adds a row to `path` for each sample and epoch, at once for those of the first rank; a line on stderr names each sample once.

    `path` is None where nothing is written: the rows of other ranks reach the first one at the end of an epoch. Raises
    UnreadableError where no sample of an evaluation can be read.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: dict[tuple[str, ...], str] = {}  # by epoch, part and sample the reason
        self._counted = self._left_out = 0  # samples of an evaluation, on this rank

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the rows of a run that is resumed."""
        for row in read_csv(self.path) if self.path and self.path.exists() else ():
            self.rows[row["epoch"], row["part"], row["sample"]] = row["reason"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Record what the batch has other samples for."""
        self._record(trainer, batch.get("skipped", ()), "another sample of the epoch takes its place")

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any) -> None:  # fmt: skip
        """Record what the batch lacks."""
        skipped = batch.get("skipped", ())
        self._counted += len(batch["index"]) * batch["counted"]
        self._left_out += len(skipped)
        self._record(trainer, skipped, "it is not scored")

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Receive the rows of the other ranks. Raises UnreadableError where no sample could be read."""
        own = self.rows, self._counted, self._left_out
        found: list[Any] = [own] * trainer.world_size
        if trainer.world_size > 1:
            dist.all_gather_object(found, own)
        self._counted = self._left_out = 0
        for rows, *_ in found:
            self.rows = rows | self.rows
        self._write(trainer)
        if sum(left_out for *_, left_out in found) and not sum(counted for _, counted, _ in found):
            raise UnreadableError(
                f"No evaluated sample can be read any more, such as {next(reversed(self.rows.values()))}"
            )

    on_train_epoch_end = on_test_end = on_validation_end

    def _record(self, trainer: Trainer, skipped: Any, consequence: str) -> None:
        known = {place[1:] for place in self.rows}
        for part, sample, reason in skipped:
            if (part, sample) not in known:
                print_to_stderr(f"{part}: {reason}; {consequence} (data.on_corrupt=skip).")
            self.rows["" if trainer.testing else str(trainer.current_epoch), part, sample] = reason
        if skipped:
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if self.path is not None and trainer.is_global_zero and self.rows:
            rows = [dict(zip(COLUMNS, (*place, reason), strict=True)) for place, reason in self.rows.items()]
            with contextlib.suppress(
                OSError
            ):  # kept, and written with the next ones; a disk that stays full ends the run elsewhere
                write_csv(self.path, rows)
