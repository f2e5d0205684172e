"""Weights of classes in the training loss."""

from collections.abc import Sequence

import torch


def class_weights(counts: Sequence[int]) -> torch.Tensor:
    """(C,) weights of the classes in the loss, inversely proportional to their counts, with a mean over samples of 1."""
    numbers = torch.tensor(counts, dtype=torch.float64)
    # A class without training samples has no effect on the loss, whatever its weight.
    return (numbers.sum() / ((numbers > 0).sum() * numbers.clamp(min=1))).float()
