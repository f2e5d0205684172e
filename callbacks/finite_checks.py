"""Stop at a loss that is nan or infinite: later steps would be wasted."""

from abc import abstractmethod
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lightning_modules.errors import TrainingError

BATCHES_BETWEEN_CHECKS = 50  # each check makes a GPU wait


class FiniteCheck(Callback):
    """Raises TrainingError for the first value not finite; on a GPU every 50 batches and at an epoch's end."""

    def __init__(self) -> None:
        self._collected: list[tuple[Tensor, Tensor]] = []

    @abstractmethod
    def message(self, key: int, value: float, trainer: Trainer, pl_module: LightningModule) -> str:
        """Return the error message for the value with a key; it is nan or infinite, or False where only that is known."""

    def collect(self, keys: Tensor, values: Tensor, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collect values (N,), or whether they are finite, with their integer keys (N,)."""
        self._collected.append((keys, values))
        if pl_module.device.type == "cpu" or len(self._collected) >= BATCHES_BETWEEN_CHECKS:
            self.check(trainer, pl_module)

    def check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise TrainingError for the first collected value that is not finite."""
        if not self._collected:
            return
        keys, values = (torch.cat(each) for each in zip(*self._collected, strict=True))
        self._collected = []
        keys = keys.to(values.device)
        finite = values if values.dtype == torch.bool else values.isfinite()
        if not bool(finite.all()):
            raise TrainingError(self.message(int(keys[~finite][0]), values[~finite][0].item(), trainer, pl_module))


class FiniteLoss(FiniteCheck):
    """Stops training at a loss that is nan or infinite, naming its step."""

    on_validation_start = FiniteCheck.check  # before the epoch's scores are computed and its checkpoint is written

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Collect the loss of this step."""
        self.collect(torch.tensor([trainer.global_step]), outputs["loss"].reshape(1), trainer, pl_module)

    def message(self, key: int, value: float, trainer: Trainer, pl_module: LightningModule) -> str:
        """Return the error message for the loss of step `key`."""
        return (
            f"The loss was {value} at step {key} (epoch {trainer.current_epoch}). "
            "Try a smaller optimizer.lr, trainer.gradient_clip=1.0 or trainer.precision=32-true."
        )
