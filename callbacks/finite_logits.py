"""A model that says nan where a number should be says no class: as the highest of them, nan would count as one."""

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lightning_modules.errors import TrainingError

BATCHES_BETWEEN_LOOKS = 50  # each look makes a GPU wait


class FiniteLogits(Callback):
    """Ends an evaluation or prediction with a TrainingError that names a sample whose logits are nan or infinite.

    On a GPU the batches are remembered there and looked at every 50 and at the end.

    Args:
        names: of the samples, by their index.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._seen: list[tuple[Tensor, Tensor]] = []

    def on_test_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        """Remember which samples of this batch are finite."""
        self._remember(outputs["index"], outputs["finite"], trainer, pl_module)

    def on_test_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look before anything is scored."""
        self._look(trainer, pl_module)

    def on_predict_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        """Remember which pictures of this batch are finite."""
        index, _, finite, _ = outputs
        self._remember(index, finite, trainer, pl_module)

    def on_predict_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look before the table of predictions is written."""
        self._look(trainer, pl_module)

    def _remember(
        self, index: Tensor, finite: Tensor, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._seen.append((index.to(finite.device), finite))
        if pl_module.device.type == "cpu" or len(self._seen) >= BATCHES_BETWEEN_LOOKS:
            self._look(trainer, pl_module)

    def _look(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not self._seen:
            return
        index, finite = (torch.cat(each) for each in zip(*self._seen, strict=True))
        self._seen = []
        if bool(finite.all()):
            return
        raise TrainingError(
            f"What the model says of {self.names[int(index[~finite][0])]} is not a finite number, and no class follows from that. "
            f"{_reason(pl_module, str(trainer.precision))}"
        )


def _reason(module: lightning.LightningModule, precision: str) -> str:
    """Why, and what to do."""
    state = {name.removeprefix("network."): each for name, each in module.state_dict().items()}
    broken = [name for name, each in state.items() if each.is_floating_point() and not bool(each.isfinite().all())]
    if broken:
        return f"{len(broken)} of {len(state)} tensors of its weights are not finite, such as {broken[0]}: take other weights."
    if precision in ("32-true", "64-true"):
        return "Its weights are finite: look at that picture, and at what model.mean and model.std make of it."
    return f"Its weights are finite, but the numbers between do not fit trainer.precision={precision}: type trainer.precision=32-true."
