"""Training losses as a sum and a weight, so that a mean can be taken over all that several processes have seen."""

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
        weights = cast(Tensor, self.weights)
        total = functional.cross_entropy(
            logits,
            target,
            weight=weights[:-1] if self.weighted else None,
            ignore_index=self.void,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total, weights[target].sum()
