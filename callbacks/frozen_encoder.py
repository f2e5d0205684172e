"""A pretrained encoder that is left as it is for the first epochs, while the fresh head learns."""

from collections.abc import Callable, Collection
from typing import Any, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim import SGD, Optimizer


class FrozenEncoder(Callback):
    """Trains neither the weights nor the running statistics of the modules that `find` returns of a network, in the first `epochs`.

    The encoder is in evaluation mode then. On one device its gradients are not computed. Several devices compute them, because DDP
    decides at its start which weights it adds up, and drop them before the step. Lightning's BaseFinetuning adds the encoder's weights
    to the optimiser when they are unfrozen; here the optimiser and its schedule are those of the whole run.
    """

    def __init__(self, epochs: int, find: Callable[[nn.Module], Collection[nn.Module]]) -> None:
        self.epochs, self.find = epochs, find
        self._modules: Collection[nn.Module] = ()
        self._parameters: list[nn.Parameter] = []
        self._frozen = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the encoder; a module that also holds the head keeps its mode."""
        found = {*self.find(cast(nn.Module, pl_module.network))}
        self._modules = [module for module in found if found.issuperset(module.modules())]
        self._parameters = [each for module in found for each in module.parameters(recurse=False)]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the encoder's mode: Lightning sets that of the whole module before each epoch and after a validation."""
        frozen = trainer.current_epoch < self.epochs
        if frozen or self._frozen:
            for module in self._modules:
                module.training = not frozen
        if frozen != self._frozen and trainer.world_size == 1:
            for parameter in self._parameters:
                parameter.requires_grad_(not frozen)
        self._frozen = frozen

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Drop the encoder's gradients: an optimiser leaves weights without one as they are, also without weight decay."""
        for group in optimizer.param_groups if isinstance(optimizer, SGD) and not self._frozen else ():
            for parameter in group["params"] if group["momentum"] else ():
                if optimizer.state[parameter].get("momentum_buffer") is None:  # torch's fused SGD needs all or none
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        for parameter in self._parameters if self._frozen else ():
            parameter.grad = None
