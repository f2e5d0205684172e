"""Semantic segmentation: a class for every pixel."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.supervised import Batch, SupervisedModule
from metrics.pixel_records import PixelRecords, confusion_matrices


class SegmentationModule(SupervisedModule):
    """Says a class for every pixel, and remembers each evaluated sample's own confusion matrix."""

    headline = "miou"

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        classes = self.label_space.num_classes
        self.records = nn.ModuleDict({stream: PixelRecords(classes) for stream in self.streams})

    def evaluate_batch(self, batch: Batch, stream: str) -> tuple[Tensor, Tensor]:
        """Count one batch of images (B, 3, H, W), masks (B, H, W) and sample indices (B,)."""
        logits, target, index = cast(Tensor, self(batch["image"])), batch["target"], batch["index"]
        if not batch["counted"]:  # it only keeps this rank in step with the others
            logits, target, index = logits[:0], target[:0], index[:0]
        prediction = logits.argmax(1)
        matrices = confusion_matrices(prediction, target, self.label_space.num_classes)
        self.confusion_of(stream).add(matrices.sum(0))
        loss = functional.cross_entropy(logits, target.long(), ignore_index=self.label_space.void, reduction="none")
        self.records_of(stream).update(index, matrices, loss.flatten(1).double().sum(1))
        return index, prediction

    def records_of(self, stream: str) -> PixelRecords:
        """The facts of each sample that a stream has seen."""
        return cast(PixelRecords, self.records[stream])

    def mean_loss(self, stream: str) -> float:
        """The mean plain cross-entropy over all pixels with truth: no weights, so that runs can be compared."""
        facts = self.records_of(stream).compute()
        known = facts["weight"] > 0
        loss, weight = facts["loss"][known], facts["weight"][known]
        # Summed in sample order and exactly: the same on any number of ranks.
        return math.fsum((loss * weight).tolist()) / max(1, int(weight.sum()))

    def reset_stream(self, stream: str) -> None:
        """Forget what was counted in a stream."""
        super().reset_stream(stream)
        self.records_of(stream).reset()

    def predict_step(self, batch: Batch, _: int) -> tuple[Tensor, Tensor, Mapping[int, str]]:
        """(B,) sample indices, (B, H, W) uint8 class indices, and the reasons of the samples that could not be read."""
        if batch["image"] is None:
            return batch["index"], torch.empty(0, 1, 1, dtype=torch.uint8), batch["unreadable"]
        return batch["index"], cast(Tensor, self(batch["image"])).argmax(1).to(torch.uint8), batch["unreadable"]
