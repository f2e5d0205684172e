"""Learning-rate schedules over all optimiser steps of a run, stepped after each; built from torch's own."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, PolynomialLR, SequentialLR


def constant(optimizer: Optimizer, total_steps: int) -> LRScheduler:
    """The learning rate stays as it is."""
    return ConstantLR(optimizer, factor=1.0, total_iters=total_steps)


def cosine(
    optimizer: Optimizer, total_steps: int, warmup_fraction: float = 0.0, final_factor: float = 0.0
) -> LRScheduler:
    """Linear warm-up over a fraction of the steps, then half a cosine down to final_factor × the learning rate."""
    warmup = int(warmup_fraction * total_steps)
    learning_rate = max(group["lr"] for group in optimizer.param_groups)
    descent = CosineAnnealingLR(optimizer, T_max=max(1, total_steps - warmup), eta_min=final_factor * learning_rate)
    if warmup == 0:
        return descent
    ascent = LinearLR(optimizer, start_factor=1.0 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [ascent, descent], milestones=[warmup])


def poly(optimizer: Optimizer, total_steps: int, power: float = 0.9) -> LRScheduler:
    """(1 - step / total_steps) ** power × the learning rate."""
    return PolynomialLR(optimizer, total_iters=total_steps, power=power)
