"""Training losses as a sum and a weight, so that a mean can be taken over all that several processes have seen.

A loss maps logits (B, C, ...) and class indices (B, ...) to the sum of the losses and the sum of the weights, both of the
logits' type, whatever type a trainer has converted the loss's own class weights to.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class CrossEntropySum(nn.Module):
    """Cross-entropy as the sum over all elements with truth, and the weight to divide by for the mean.

    Sum over weight is what `torch.nn.functional.cross_entropy` calls the mean; void counts for nothing in both.

    Args:
        num_classes: C; the index C is void.
        class_weights: (C,) or None for all alike.
        label_smoothing: in 0–1.
    """

    def __init__(self, num_classes: int, class_weights: Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        weights = torch.ones(num_classes) if class_weights is None else class_weights.float()
        self.void = num_classes
        self.label_smoothing = label_smoothing
        self.weighted = class_weights is not None
        self.register_buffer("weights", torch.cat([weights, torch.zeros(1)]), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, C, ...) and class indices (B, ...) -> sum of the losses, sum of the weights."""
        weights, target = cast(Tensor, self.weights).to(logits.dtype), target.long()
        total = functional.cross_entropy(
            logits,
            target,
            weight=weights[:-1] if self.weighted else None,
            ignore_index=self.void,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total, weights[target].sum()


class HardestPixels(nn.Module):
    """Online hard example mining: cross-entropy of the hardest pixels only.

    Kept are the pixels whose loss is above a threshold, and at least a part of those with truth in each batch.

    Source: Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, arXiv 1604.03540;
    with the threshold on the probability that is usual for street scenes (0.7).

    Args:
        num_classes: C; the index C is void.
        class_weights: (C,) or None for all alike.
        probability: pixels whose true class got less than this are hard.
        least: the part of the pixels with truth that is kept at least, in (0, 1].
    """

    def __init__(
        self, num_classes: int, class_weights: Tensor | None = None, probability: float = 0.7, least: float = 0.1
    ) -> None:
        super().__init__()
        self.void = num_classes
        self.threshold = -math.log(probability)
        self.least = least
        weights = torch.ones(num_classes) if class_weights is None else class_weights.float()
        self.register_buffer("weights", torch.cat([weights, torch.zeros(1)]), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the weighted losses of the hard pixels, sum of their weights."""
        weights, target = cast(Tensor, self.weights).to(logits.dtype)[target.long()].flatten(), target.long()
        loss = functional.cross_entropy(logits, target, ignore_index=self.void, reduction="none").flatten()
        known = weights > 0
        # Shapes that do not depend on the data: a GPU need not be waited for.
        ranked = torch.where(known, loss.detach(), loss.new_tensor(-1.0)).sort(descending=True).values
        place = (known.sum() * self.least).long().clamp(min=1) - 1
        hard = known & (loss.detach() >= torch.minimum(ranked[place], loss.new_tensor(self.threshold)))
        chosen = weights * hard
        return (loss * chosen).sum(), chosen.sum()


class DiceAndCrossEntropy(nn.Module):
    """Cross-entropy plus the soft Dice loss of the batch's part on this device.

    Dice is a ratio over a whole part, not a sum over pixels: it is weighed by the part's pixels, so that the mean over
    all parts is the mean of their Dice losses.

    Source: Milletari et al., V-Net, arXiv 1606.04797.

    Args:
        num_classes: C; the index C is void.
        class_weights: (C,) for the cross-entropy, or None for all alike.
        dice: the weight of the Dice loss beside the cross-entropy.
    """

    def __init__(self, num_classes: int, class_weights: Tensor | None = None, dice: float = 1.0) -> None:
        super().__init__()
        self.num_classes, self.dice = num_classes, dice
        self.cross_entropy = CrossEntropySum(num_classes, class_weights)

    def forward(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the losses, sum of the weights."""
        total, weight = cast(tuple[Tensor, Tensor], self.cross_entropy(logits, target))
        known = (target.long() != self.num_classes).unsqueeze(1)
        true = functional.one_hot(target.long(), self.num_classes + 1)[..., :-1].movedim(-1, 1)
        guess = logits.softmax(1) * known
        over = [axis for axis in range(logits.ndim) if axis != 1]
        shared, sizes = (guess * true).sum(over), guess.sum(over) + true.sum(over)
        present = true.sum(over) > 0
        score = (2 * shared / sizes.clamp(min=1e-6) * present).sum() / present.sum().clamp(min=1)
        return total + self.dice * (1 - score) * weight, weight


class WithAuxiliary(nn.Module):
    """A loss of the main logits, plus a part of the same loss of an auxiliary head's where there are some.

    Args:
        loss: of either.
        auxiliary: the weight of the auxiliary head's.
    """

    def __init__(self, loss: nn.Module, auxiliary: float = 0.4) -> None:
        super().__init__()
        self.loss, self.auxiliary = loss, auxiliary

    def forward(self, logits: Tensor | tuple[Tensor, Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the losses, sum of the weights (the main head's)."""
        if isinstance(logits, Tensor):
            return cast(tuple[Tensor, Tensor], self.loss(logits, target))
        total, weight = self.loss(logits[0], target)
        extra, extra_weight = self.loss(logits[1], target)
        # Divided by the main head's weight later: brought to it where the two differ (hardest pixels).
        return total + self.auxiliary * extra * weight / extra_weight.clamp(min=1e-12), weight
