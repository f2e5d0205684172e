"""Learning-rate schedules: functions of the optimiser step and the settings, after a linear warm-up of some steps or a fraction."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def constant(
    optimizer: Optimizer, total_steps: int = 1, warmup_steps: int | None = None, warmup_fraction: float = 0.0
) -> LRScheduler:
    """Keep the learning rate."""
    return _after_warmup(lambda _: 1.0, optimizer, total_steps, warmup_steps, warmup_fraction)


def cosine(
    optimizer: Optimizer,
    total_steps: int,
    warmup_steps: int | None = None,
    warmup_fraction: float = 0.0,
    final_factor: float = 0.0,
) -> LRScheduler:
    """Decay along half a cosine to final_factor × the learning rate."""

    def factor(done: float) -> float:
        return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * done)) / 2

    return _after_warmup(factor, optimizer, total_steps, warmup_steps, warmup_fraction)


def poly(
    optimizer: Optimizer,
    total_steps: int,
    warmup_steps: int | None = None,
    warmup_fraction: float = 0.0,
    power: float = 0.9,
) -> LRScheduler:
    """Decay as (1 - step / total_steps) ** power."""
    return _after_warmup(lambda done: (1 - done) ** power, optimizer, total_steps, warmup_steps, warmup_fraction)


def _after_warmup(
    factor: Callable[[float], float], optimizer: Optimizer, total: int, steps: int | None, fraction: float
) -> LRScheduler:
    """Warm up, then multiply the rates by `factor`, a function of the part of the other steps that is done, 0–1."""
    warmup = int(fraction * total) if steps is None else steps

    def of_step(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return factor(min(1.0, (step - warmup) / max(1, total - warmup)))

    return LambdaLR(optimizer, of_step)


def apply_settings(checkpoint: dict[str, Any], optimizer: Optimizer, schedule: LRScheduler) -> None:
    """Replace the settings and the learning rate in a checkpoint's optimiser state by those of a new optimiser.

    A resumed run would otherwise ignore its changed settings. Schedules other than those above keep the checkpoint's.
    """
    if not isinstance(schedule, LambdaLR):
        return
    [saved], [reached] = checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
    factors = zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    rates = [rate * factor(reached["last_epoch"]) for rate, factor in factors]
    reached |= {"base_lrs": schedule.base_lrs, "_last_lr": rates}
    for group, own, rate in zip(saved["param_groups"], optimizer.param_groups, rates, strict=True):
        group |= {**own, "params": group["params"], "lr": rate}
