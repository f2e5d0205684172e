"""Torch's random state as a function of the seed and the step, so that a resumed run needs none of its own."""

import hashlib
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class StepSeed(Callback):
    """Seeds torch before every training batch from (seed, epoch, batch, rank), so that dropout is reproducible."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed all devices."""
        step = f"{self.seed}:{trainer.current_epoch}:{batch_idx}:{trainer.global_rank}"
        torch.manual_seed(int.from_bytes(hashlib.blake2b(step.encode(), digest_size=8).digest(), "big", signed=True))
