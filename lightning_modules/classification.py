"""Image classification: one class per image."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.supervised import Batch, SupervisedModule
from metrics.per_sample import ImageRecords


class ClassificationModule(SupervisedModule):
    """Predicts one class per image, and records prediction, probability and loss of each evaluated sample."""

    headline = "f1_macro"

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.records = nn.ModuleDict({stream: ImageRecords(self.label_space.num_classes) for stream in self.streams})

    def evaluate_batch(self, batch: Batch, stream: str) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate images (B, 3, H, W) against targets (B,); see the base class."""
        logits, target, index = self.counted(batch, stream)
        probability, prediction = logits.softmax(1).max(1)
        loss = functional.cross_entropy(logits, target, reduction="none")
        self.confusion_of(stream).update(prediction, target)
        self.records_of(stream).update(
            index=index, target=target, prediction=prediction, probability=probability, loss=loss
        )
        return index, prediction, probability.isfinite()

    def predict_step(self, batch: Batch, _: int) -> tuple[Tensor, Tensor, Tensor, Mapping[int, str]]:
        """Return sample indices (B,), probabilities (B, C), whether these are finite (B,), and reasons by unreadable index."""
        images, classes = batch["image"], self.label_space.num_classes
        logits = torch.empty(0, classes, device=self.device) if images is None else self.predict_logits(images)
        probability = logits.softmax(1)
        return batch["index"], probability, probability.isfinite().all(1), batch["unreadable"]
