"""An exponential moving average of the weights, which is validated, saved and evaluated in their place."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

CURRENT = "current_state_dict"  # the key of the weights that training resumes from


class AveragedWeights(Callback):
    """Averages the weights after each optimiser step t: average = d · average + (1 - d) · weights, starting with the first.

    d = min(decay, (1 + t) / (10 + t)), so that the first weights soon fade, as in TensorFlow's
    ``ExponentialMovingAverage(decay, num_updates=t)``. BatchNorm's running statistics are averaged like weights,
    because those of the last step belong to the last step's weights; its counters are copied.

    Validation uses the average. It is also a checkpoint's ``state_dict``; training resumes from ``current_state_dict``
    beside it. Lightning's own WeightAveraging (2.6) would keep the average on the CPU while a GPU trains, and swaps it
    in after the first rank's buffers have been broadcast for a validation.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._weights: dict[str, Tensor] = {}  # the module's own tensors
        self._average: dict[str, Tensor] = {}
        self._saved: dict[str, Tensor] = {}
        self._step = 0

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Load the weights that training resumes from; the trainer has just loaded the average."""
        if CURRENT in checkpoint:
            pl_module.load_state_dict(checkpoint[CURRENT])
            self._saved = checkpoint["state_dict"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the current weights or a checkpoint's average; only now are they on the device."""
        self._weights = pl_module.state_dict()
        self._average = {name: weight.clone() for name, weight in self._weights.items()}
        for name, average in self._saved.items():
            self._average[name].copy_(average)
        self._saved = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the step that the average already contains."""
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Update the average, unless this batch was only accumulated."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        decay = min(self.decay, (1 + self._step) / (10 + self._step))
        for name, weight in self._weights.items():
            if not weight.is_floating_point():
                self._average[name].copy_(weight)
        floats = [name for name, weight in self._weights.items() if weight.is_floating_point()]
        averages, weights = [self._average[name] for name in floats], [self._weights[name] for name in floats]
        torch._foreach_lerp_(averages, weights, 1 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the average in; this runs before the module broadcasts the first rank's buffers."""
        self._swap()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the weights back in."""
        self._swap()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average as the checkpoint's ``state_dict``."""
        checkpoint[CURRENT] = checkpoint["state_dict"]
        checkpoint["state_dict"] = dict(self._average)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            kept = weight.clone()
            weight.copy_(self._average[name])
            self._average[name].copy_(kept)
