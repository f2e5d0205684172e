"""Losses for rare classes and hard pixels, on top of cross-entropy."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.losses.cross_entropy import CrossEntropy, SumAndWeight


class OnlineHardExampleMining(CrossEntropy):
    """Cross-entropy of the hardest pixels only: those whose true class has a probability below a threshold.

    At least the fraction `least`, in (0, 1], of a batch's non-void pixels is kept.
    Source: Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, arXiv 1604.03540;
    with the threshold on the probability that is usual for street scenes (0.7).
    """

    def __init__(
        self, num_classes: int, class_weights: Tensor | None = None, probability: float = 0.7, least: float = 0.1
    ) -> None:
        super().__init__(num_classes, class_weights)
        self.threshold = -math.log(probability)
        self.least = least

    def forward(self, logits: Tensor, target: Tensor) -> SumAndWeight:
        """Return the sum of the weighted losses of the hard pixels and the sum of their weights."""
        target = target.long()
        weights = self.weights.to(logits.dtype)[target].flatten()
        loss = functional.cross_entropy(logits, target, ignore_index=self.void, reduction="none").flatten()
        known = weights > 0
        # Shapes do not depend on the data, so that a GPU need not be waited for.
        ranked = torch.where(known, loss.detach(), -1.0).sort(descending=True).values
        last = (known.sum() * self.least).long().clamp(min=1) - 1
        hard = known & (loss.detach() >= ranked.gather(0, last.view(1)).clamp(max=self.threshold))
        chosen = weights * hard
        return (loss * chosen).sum(), chosen.sum()


class DiceCrossEntropy(CrossEntropy):
    """Cross-entropy plus `dice` times the soft Dice loss of this device's part of a batch.

    Dice is a ratio over the whole part, not a sum over pixels: it is weighted by the part's pixels, so that the mean over
    all parts is the mean of their Dice losses. Source: Milletari et al., V-Net, arXiv 1606.04797.
    """

    def __init__(self, num_classes: int, class_weights: Tensor | None = None, dice: float = 1.0) -> None:
        super().__init__(num_classes, class_weights)
        self.dice = dice

    def forward(self, logits: Tensor, target: Tensor) -> SumAndWeight:
        """Return the sum of the losses and the sum of the weights."""
        target = target.long()
        total, weight = super().forward(logits, target)
        true = functional.one_hot(target, self.void + 1)[..., :-1].movedim(-1, 1)
        predicted = logits.softmax(1) * (target != self.void).unsqueeze(1)
        over = [axis for axis in range(logits.ndim) if axis != 1]
        shared, sizes = (predicted * true).sum(over), predicted.sum(over) + true.sum(over)
        present = true.sum(over) > 0
        score = (2 * shared / sizes.clamp(min=1e-6) * present).sum() / present.sum().clamp(min=1)
        return total + self.dice * (1 - score) * weight, weight
