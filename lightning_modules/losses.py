"""Training losses as a sum and a weight, so that the mean can be taken over all ranks and accumulated batches.

A loss maps logits (B, C, ...) and class indices (B, ...) to the sum of the losses and the sum of their weights, both of the
logits' type. The index C is void. `TrainingLoss` also accepts losses that return a mean, as those of torch.nn do.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

SumAndWeight = tuple[Tensor, Tensor]


class CrossEntropy(nn.Module):
    """Cross-entropy; sum over weight is what `torch.nn.functional.cross_entropy` returns as the mean.

    `class_weights` is (C,), or None for equal weights; `label_smoothing` is in 0–1.
    """

    weights: Tensor

    def __init__(self, num_classes: int, class_weights: Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        weights = torch.ones(num_classes) if class_weights is None else class_weights.float()
        self.void = num_classes
        self.label_smoothing = label_smoothing
        self.weighted = class_weights is not None
        self.register_buffer("weights", torch.cat([weights, torch.zeros(1)]), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> SumAndWeight:
        """Return the sum of the weighted losses and the sum of the weights."""
        # The trainer may have converted the weights to another precision.
        weights, target = self.weights.to(logits.dtype), target.long()
        total = functional.cross_entropy(
            logits,
            target,
            weight=weights[:-1] if self.weighted else None,
            ignore_index=self.void,
            # The sum over pixels has no deterministic kernel on GPUs.
            reduction="none" if logits.is_cuda else "sum",
            label_smoothing=self.label_smoothing,
        ).sum()
        return total, weights[target].sum()


class TrainingLoss(nn.Module):
    """A loss of the main logits, plus `auxiliary` times the same loss for each auxiliary head.

    `loss` maps logits and int64 targets to (sum, weight) as the losses above, or to a scalar mean over the targets that are
    not void, as ``torch.nn.CrossEntropyLoss(ignore_index=num_classes)``.
    """

    def __init__(self, loss: nn.Module, num_classes: int, auxiliary: float = 0.4) -> None:
        super().__init__()
        self.loss, self.void, self.auxiliary = loss, num_classes, auxiliary

    def forward(self, logits: Tensor | tuple[Tensor, ...], target: Tensor) -> SumAndWeight:
        """Return the sum of the losses of all heads, and the sum of the main head's weights."""
        main, *others = (logits,) if isinstance(logits, Tensor) else logits
        target = target.long()
        total, weight = self._sum_and_weight(main, target)
        for head in others:
            extra, extra_weight = self._sum_and_weight(head, target)
            # The total is divided by the main head's weight; hard example mining gives each head another weight.
            total = total + self.auxiliary * extra * weight / extra_weight.clamp(min=1e-12)
        return total, weight

    def _sum_and_weight(self, logits: Tensor, target: Tensor) -> SumAndWeight:
        found = self.loss(logits, target)
        if not isinstance(found, Tensor):
            return cast(SumAndWeight, found)
        weight = (target != self.void).sum().to(logits.dtype)
        # A mean over nothing is nan, and so is its gradient; nan times the weight of 0 would still be nan.
        return (found * weight if weight else logits.sum() * 0), weight
