"""Semantic segmentation: a class for every pixel."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from label_spaces.space import LabelSpace
from lightning_modules.supervised import Batch, SupervisedModule, exactly
from metrics.confusion import ConfusionMatrix
from metrics.counting import confusion_matrices
from metrics.per_sample import MaskRecords
from metrics.regions import RegionConfusion, confusion_by_region


class SegmentationModule(SupervisedModule):
    """Predicts a class per pixel, and records each evaluated sample's own confusion matrix.

    Batches with a ``region``, as the reported split may have, are also counted by the sizes of regions. `truth` gives the
    classes of the masks where these are not the network's, as for external weights: the matrices then have the masks'
    classes as rows and the network's as columns, and are remapped later; losses are nan.
    """

    headline = "miou"
    regions: RegionConfusion

    def __init__(self, *args: Any, truth: LabelSpace | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.truth = truth or self.label_space
        self.shape = self.truth.num_classes, self.label_space.num_classes  # of the matrices, without void
        self.confusion = nn.ModuleDict({stream: ConfusionMatrix(*self.shape) for stream in self.streams})
        self.records = nn.ModuleDict({stream: MaskRecords(*self.shape) for stream in self.streams})
        self.regions = RegionConfusion(*self.shape)

    def evaluate_batch(self, batch: Batch, stream: str) -> dict[str, Tensor]:
        """Evaluate images (B, 3, H, W) against masks (B, H, W), by regions (B, H, W) if given; see the base class.

        In the stream ``test`` the result also has the ``confidence`` (B, H, W), the predicted class's probability.
        """
        logits, target, index = self.counted(batch, stream)
        best, prediction = logits.max(1)
        if "region" in batch:  # counted once: the sum over the regions is the whole
            by_region = confusion_by_region(prediction, target, batch["region"][: len(target)], *self.shape)
            self.regions.update(by_region)
            matrices = by_region.sum(1)
        else:
            matrices = confusion_matrices(prediction, target, *self.shape)
        self.confusion_of(stream).add(matrices.sum(0), target.numel())
        log_probability = logits.log_softmax(1)
        self.records_of(stream).update(index=index, matrices=matrices, loss=self._losses(log_probability, target))
        found = {"index": index, "prediction": prediction, "finite": _finite(best)}
        if stream == "test":
            found["confidence"] = log_probability.gather(1, prediction[:, None])[:, 0].exp_()
        return found

    def predict_step(self, batch: Batch, _: int) -> tuple[Tensor, Tensor]:
        """Return sample indices (B,) and uint8 classes (B, H, W)."""
        return batch["index"], self.predict_logits(batch["image"]).max(1).indices.to(torch.uint8)

    def reset_stream(self, stream: str) -> None:
        """Reset all counts of a stream; regions are counted in the stream ``test`` only."""
        super().reset_stream(stream)
        if stream == "test":
            self.regions.reset()

    def _losses(self, log_probability: Tensor, target: Tensor) -> Tensor:
        """Return (B,) the sum of each sample's loss over its pixels; nan where the target's classes are not the predicted ones."""
        if self.truth is not self.label_space:
            return torch.full((len(target),), torch.nan, device=target.device)
        loss = functional.nll_loss(log_probability, target.long(), ignore_index=self.label_space.void, reduction="none")
        return exactly(loss.flatten(1)).sum(1)


def _finite(best: Tensor) -> Tensor:
    """Return (B,) whether all of each sample's highest logits (B, H, W) are finite."""
    return best.flatten(1).sum(1).isfinite()
