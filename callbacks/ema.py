"""The moving average of the weights: where conf asks for it, it is what gets validated, kept and evaluated."""

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

CURRENT = "current_state_dict"  # where a checkpoint has the weights that training goes on with


class AveragedWeights(Callback):
    """Averages the weights after each optimiser step t: average = d · average + (1 - d) · weights, from the first weights on.

    d = min(decay, (1 + t) / (10 + t)), so that the first weights are soon forgotten, as TensorFlow's
    ``ExponentialMovingAverage(decay, num_updates=t)`` does it. BatchNorm's running statistics are averaged like weights,
    because those of the last step belong to the last step's weights; its counters are copied.

    A validation sees the average, and so does everybody who reads ``state_dict`` in a checkpoint; ``current_state_dict``
    beside it is for going on. Lightning's own WeightAveraging (2.6) would keep the average on the CPU while a GPU trains,
    and takes it up after the ranks have agreed on their buffers for a validation.

    Args:
        decay: above 0 and below 1; about 1 / (1 - decay) steps are averaged over.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._weights: dict[str, Tensor] = {}  # the module's own memory
        self._average: dict[str, Tensor] = {}
        self._saved: dict[str, Tensor] = {}
        self._step = 0

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Give the module the weights that training goes on with; the trainer has just given it the average."""
        if CURRENT in checkpoint:
            pl_module.load_state_dict(checkpoint[CURRENT])
            self._saved = checkpoint["state_dict"]

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin with the weights as they are, or with a checkpoint's average; only now are they where they are trained."""
        self._weights = pl_module.state_dict()
        self._average = {name: weight.clone() for name, weight in self._weights.items()}
        for name, average in self._saved.items():
            self._average[name].copy_(average)
        self._saved = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Know which step is in the average already."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the weights into the average, unless this batch was only accumulated."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        decay = min(self.decay, (1 + self._step) / (10 + self._step))
        averages, weights = [], []
        for name, weight in self._weights.items():
            if weight.is_floating_point():
                averages.append(self._average[name])
                weights.append(weight)
            else:
                self._average[name].copy_(weight)
        torch._foreach_lerp_(averages, weights, 1 - decay)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the average into the module; this comes before the module gives all ranks the first one's buffers."""
        self._swap()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the weights back."""
        self._swap()

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Make the average a checkpoint's ``state_dict``."""
        checkpoint[CURRENT] = checkpoint["state_dict"]
        checkpoint["state_dict"] = dict(self._average)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            kept = weight.clone()
            weight.copy_(self._average[name])
            self._average[name].copy_(kept)
