"""Semantic segmentation: a class for every pixel."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from label_spaces.space import LabelSpace
from lightning_modules.supervised import Batch, SupervisedModule
from metrics.confusion import ConfusionMatrix
from metrics.per_sample import MaskRecords, confusion_matrices
from metrics.regions import RegionConfusion, confusion_by_region


class SegmentationModule(SupervisedModule):
    """Says a class for every pixel, and remembers each evaluated sample's own confusion matrix.

    Batches that have ``region``, as those of the split that is reported may, are also counted by the sizes of regions.

    Args:
        truth: the classes of the masks where these are not the network's, as for weights from elsewhere: it can be
            evaluated, and is counted as truth by what was said, to be crossed later.
        args: those of the base class, and `settings`.
    """

    headline = "miou"
    regions: RegionConfusion

    def __init__(self, *args: Any, truth: LabelSpace | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.truth = truth or self.label_space
        sides = self.truth.num_classes, self.label_space.num_classes
        self.confusion = nn.ModuleDict({stream: ConfusionMatrix(*sides) for stream in self.streams})
        self.records = nn.ModuleDict({stream: MaskRecords(*sides) for stream in self.streams})
        self.regions = RegionConfusion(*sides)

    def evaluate_batch(self, batch: Batch, stream: str) -> tuple[Tensor, Tensor, Tensor]:
        """Count one batch of images (B, 3, H, W), masks (B, H, W), sample indices (B,) and, if given, regions (B, H, W)."""
        logits, target, index = self.look(batch["image"], stream), batch["target"], batch["index"]
        if not batch["counted"]:  # it only keeps this rank in step with the others
            logits, target, index = logits[:0], target[:0], index[:0]
        best, prediction = logits.max(1)
        sides = self.truth.num_classes, self.label_space.num_classes
        if "region" in batch:  # counted once: the parts are summed up
            parts = confusion_by_region(prediction, target, batch["region"][: len(target)], *sides)
            self.regions.update(parts)
            matrices = parts.sum(1)
        else:
            matrices = confusion_matrices(prediction, target, *sides)
        self.confusion_of(stream).add(matrices.sum(0), target.numel())
        self.records_of(stream).update(index=index, matrices=matrices, loss=self._losses(logits, target))
        return index, prediction, _finite(best)

    def _losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B,) the sum of each sample's loss over its pixels; nan where the target's classes are not the logits'."""
        if self.truth is not self.label_space:
            return torch.full((len(target),), torch.nan, device=target.device)
        loss = functional.cross_entropy(logits, target.long(), ignore_index=self.label_space.void, reduction="none")
        return loss.flatten(1).double().sum(1)

    def records_of(self, stream: str) -> MaskRecords:
        """The facts of each sample that a stream has seen."""
        return cast(MaskRecords, self.records[stream])

    def mean_loss(self, stream: str) -> float:
        """The mean plain cross-entropy over all pixels with truth: no weights, so that runs can be compared."""
        return self.records_of(stream).counts().mean_loss()

    def reset_stream(self, stream: str) -> None:
        """Forget what was counted in a stream."""
        super().reset_stream(stream)
        self.records_of(stream).reset()
        if stream == "test":
            self.regions.reset()

    def predict_step(self, batch: Batch, _: int) -> tuple[Tensor, Tensor, Tensor, Mapping[int, str]]:
        """(B,) sample indices, (B, H, W) uint8 classes, (B,) whether logits were numbers, and why others could not be read."""
        if batch["image"] is None:
            nothing = torch.empty(0, 1, 1, dtype=torch.uint8)
            return batch["index"], nothing, torch.empty(0, dtype=torch.bool), batch["unreadable"]
        best, prediction = self.look(batch["image"]).max(1)
        return batch["index"], prediction.to(torch.uint8), _finite(best), batch["unreadable"]


def _finite(best: Tensor) -> Tensor:
    """(B,) whether all of each sample's highest logits (B, H, W) are numbers."""
    return best.flatten(1).sum(1).isfinite()
