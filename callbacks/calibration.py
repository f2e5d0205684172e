"""Counting how often the confidence of predicted pixels is right, in the closing evaluation only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from metrics.calibration import CalibrationSums, boundary_band, bundles


class Calibration(Callback):
    """Accumulates `CalibrationSums` over a test split, on the device that predicts.

    `groups` are those of the samples with the indices `index`; `num_classes` and `mapping` are those of `CalibrationSums`.
    """

    def __init__(
        self, index: Sequence[int], groups: Sequence[str], num_classes: int, mapping: Sequence[int] | None = None
    ) -> None:
        numbers = bundles(groups)
        self.group_of = torch.zeros(max(index, default=0) + 1, dtype=torch.int64)
        self.group_of[list(index)] = torch.from_numpy(numbers)
        self.sums = CalibrationSums(int(numbers.max(initial=0)) + 1, num_classes, mapping)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the sums to the module's device."""
        self.sums.to(pl_module.device)
        self.group_of = self.group_of.to(pl_module.device)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Count a batch, as far as it was counted otherwise."""
        target, group = batch["target"][: len(outputs["index"])], self.group_of[outputs["index"]]
        self.sums.update(outputs["confidence"], outputs["prediction"], target, group, boundary_band(target))

    def compute(self) -> NDArray[np.int64]:
        """Return the sums of all ranks, on every rank."""
        return np.asarray(self.sums.compute())
