"""Single training steps outside of a training: what is measured and tried before one begins."""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from entry.run import Run


class TrainingSteps:
    """Trains a run's module on single batches, on its device and in its precision; no trainer, callback or file takes part."""

    def __init__(self, run: Run) -> None:
        logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
        torch.set_num_threads(run.machine.threads)
        self.run, machine = run, run.machine
        self.fabric = Fabric(
            accelerator=machine.accelerator,
            devices=1,
            precision=cast(Any, machine.precision),
            plugins=[LightningEnvironment()],
        )
        optimizer = cast(Any, run.module.configure_optimizers())["optimizer"]
        self.model, self.optimizer = self.fabric.setup(run.module, optimizer)

    def train_on(self, batch: dict[str, Any]) -> None:
        """Take a step on a batch of the data module's, which is on the device."""
        with self.phase("forward"):
            total, weight = self.run.module.sum_and_weight(self.model(batch["image"]), batch)
        with self.phase("backward"):
            self.fabric.backward(total / weight.clamp(min=1))
        with self.phase("optimiser"):
            self.optimizer.step()
            self.optimizer.zero_grad()

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Return what is around a phase of a step; here nothing."""
        return nullcontext()
