"""Training losses as a sum and a weight, so that the mean can be taken over all ranks and accumulated batches.

A loss maps logits (B, C, ...) and class indices (B, ...) to the sum of the losses and the sum of their weights, both of the
logits' type. The index C is void. `TrainingLoss` also accepts losses that return a mean, as those of torch.nn do.
"""

from lightning_modules.losses.cross_entropy import CrossEntropy, TrainingLoss
from lightning_modules.losses.segmentation import DiceCrossEntropy, OnlineHardExampleMining

__all__ = ["CrossEntropy", "DiceCrossEntropy", "OnlineHardExampleMining", "TrainingLoss"]
