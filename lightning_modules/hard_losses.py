"""Losses for rare classes, hard pixels and overlap, in place of plain cross-entropy: sums and weights as in `lightning_modules.losses`."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.losses import CrossEntropy, SumAndWeight


class Focal(CrossEntropy):
    """Cross-entropy times (1 - p) ** `gamma`, with the probability p of the true class: what is predicted well counts little.

    With gamma = 0 it is the cross-entropy. Source: Lin et al., Focal Loss for Dense Object Detection, arXiv 1708.02002.
    """

    def __init__(self, num_classes: int, class_weights: Tensor | None = None, gamma: float = 2.0) -> None:
        super().__init__(num_classes, class_weights)
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> SumAndWeight:
        """Return the sum of the weighted losses and the sum of the weights."""
        weights, target = self.weights.to(logits.dtype), target.long()
        loss = functional.cross_entropy(logits, target, ignore_index=self.void, reduction="none")
        # Of its logarithm, not of p: p of 1 - 1e-9 would be 1, and the gradient of a fractional power of 0 infinite.
        rest = -torch.expm1(-loss.clamp(min=1e-12))
        return (rest**self.gamma * loss * weights[target]).sum(), weights[target].sum()


class LovaszSoftmax(CrossEntropy):
    """The Lovász extension of 1 - IoU, averaged over an image's true classes, plus `cross_entropy` times the cross-entropy.

    An image weighs as much as its pixels, and has an IoU of its own, so that the loss is the same on any number of devices.
    Source: Berman et al., The Lovász-Softmax Loss, arXiv 1705.08790.
    """

    def __init__(self, num_classes: int, class_weights: Tensor | None = None, cross_entropy: float = 1.0) -> None:
        super().__init__(num_classes, class_weights)
        self.cross_entropy = cross_entropy

    def forward(self, logits: Tensor, target: Tensor) -> SumAndWeight:
        """Return the sum of the losses and the sum of the weights."""
        total, weight = super().forward(logits, target)
        target = target.long().reshape(len(target), -1)
        true = functional.one_hot(target, self.void + 1)[..., :-1].transpose(1, 2)  # (B, C, pixels)
        errors = (true - logits.softmax(1).reshape(true.shape)).abs() * (target != self.void).unsqueeze(
            1
        )  # void is last
        slopes = self._slopes(errors.detach(), true)
        present = true.amax(2)
        losses = ((errors * slopes).sum(2) * present).sum(1) / present.sum(1).clamp(min=1)
        of_images = self.weights.to(logits.dtype)[target].sum(1)
        return self.cross_entropy * total + (losses * of_images).sum(), weight

    @staticmethod
    def _slopes(errors: Tensor, true: Tensor) -> Tensor:
        """Return (B, C, pixels): by how much 1 - IoU grows with each pixel that becomes wrong, the largest errors first."""
        order = errors.sort(dim=2, descending=True, stable=True).indices
        ranked = true.gather(2, order).int()  # sums of floats have no deterministic kernel on GPUs
        truth = ranked.sum(2, keepdim=True)
        lost = 1 - (truth - ranked.cumsum(2)) / (truth + (1 - ranked).cumsum(2)).to(errors.dtype)
        return torch.zeros_like(errors).scatter(2, order, lost.diff(dim=2, prepend=torch.zeros_like(lost[..., :1])))


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
