"""The training loss of images that are mixed with another one's."""

import torch
from torch import Tensor

from lightning_modules.losses import SumAndWeight, TrainingLoss


class MixedLoss(TrainingLoss):
    """The loss of a sample's own class times lambda, plus that of its partner's times 1 - lambda; of the weights likewise.

    The loss is computed of each sample alone: one that is a function of a whole batch is another one then.
    """

    def forward(self, logits: Tensor | tuple[Tensor, ...], target: Tensor, *mixed: Tensor) -> SumAndWeight:
        """Return the sum of the losses and of the weights, for classes (B,); `mixed` are the partners' classes (B,) and lambda (B,)."""
        partner, own = mixed
        heads = (logits,) if isinstance(logits, Tensor) else logits
        of_samples = torch.vmap(super().forward)
        alone = tuple(head.unsqueeze(1) for head in heads)
        first, second = (of_samples(alone, classes.unsqueeze(1)) for classes in (target, partner))
        total, weight = ((own * mine + (1 - own) * other).sum() for mine, other in zip(first, second, strict=True))
        return total, weight

    def _sum_and_weight(self, logits: Tensor, target: Tensor) -> SumAndWeight:
        found = self.loss(logits, target)  # no image is void
        return (found, torch.ones_like(found)) if isinstance(found, Tensor) else found
