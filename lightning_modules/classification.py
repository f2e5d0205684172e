"""Image classification: one class per image."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.supervised import Batch, SupervisedModule
from metrics.per_sample import ImageRecords


class ClassificationModule(SupervisedModule):
    """Says one class for a whole image, and remembers of each evaluated sample what was said and how sure."""

    headline = "f1_macro"

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.records = nn.ModuleDict({stream: ImageRecords(self.label_space.num_classes) for stream in self.streams})

    def evaluate_batch(self, batch: Batch, stream: str) -> tuple[Tensor, Tensor, Tensor]:
        """Count one batch of images (B, 3, H, W), targets (B,) and sample indices (B,)."""
        logits, target, index = self.look(batch["image"], stream), batch["target"], batch["index"]
        if not batch["counted"]:  # it only keeps this rank in step with the others
            logits, target, index = logits[:0], target[:0], index[:0]
        probability, prediction = logits.softmax(1).max(1)
        self.confusion_of(stream).update(prediction, target)
        loss = functional.cross_entropy(logits, target, reduction="none")
        self.records_of(stream).update(
            index=index, target=target, prediction=prediction, probability=probability, loss=loss
        )
        return index, prediction, probability.isfinite()

    def predict_step(self, batch: Batch, _: int) -> tuple[Tensor, Tensor, Tensor, Mapping[int, str]]:
        """(B,) sample indices, (B, C) probabilities, (B,) whether these are numbers, and why other samples could not be read."""
        if batch["image"] is None:
            probability = torch.empty(0, self.label_space.num_classes)
        else:
            probability = self.look(batch["image"]).softmax(1)
        return batch["index"], probability, probability.isfinite().all(1), batch["unreadable"]

    def records_of(self, stream: str) -> ImageRecords:
        """The facts of each sample that a stream has seen."""
        return cast(ImageRecords, self.records[stream])

    def mean_loss(self, stream: str) -> float:
        """The mean plain cross-entropy: no weights, no smoothing, so that runs can be compared."""
        return self.records_of(stream).counts().mean_loss()

    def reset_stream(self, stream: str) -> None:
        """Forget what was counted in a stream."""
        super().reset_stream(stream)
        self.records_of(stream).reset()
