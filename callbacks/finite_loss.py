"""A loss that is not a number must stop the run: every step after it is wasted."""

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lightning_modules.errors import TrainingError

STEPS_BETWEEN_LOOKS = 50  # each look makes a GPU wait


class FiniteLoss(Callback):
    """Stops with a TrainingError that names the first step whose loss was nan or infinite.

    On a GPU the losses are remembered there and looked at every 50 steps and at the end of the epoch.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._first_step = 0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remember the loss of this step."""
        if not self._losses:
            self._first_step = trainer.global_step
        self._losses.append(outputs["loss"] if isinstance(outputs, Mapping) else outputs)
        if pl_module.device.type == "cpu" or len(self._losses) >= STEPS_BETWEEN_LOOKS:
            self._look(trainer)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look before an epoch's scores are computed and its checkpoint is written."""
        self._look(trainer)

    def _look(self, trainer: lightning.Trainer) -> None:
        if not self._losses:
            return
        losses = torch.stack(self._losses).float()
        self._losses = []
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            first = int(torch.nonzero(~finite)[0])
            raise TrainingError(
                f"The loss was {losses[first].item()} at step {self._first_step + first} (epoch {trainer.current_epoch}). "
                "Try a smaller optimizer.lr, trainer.gradient_clip=1.0 or trainer.precision=32-true."
            )
