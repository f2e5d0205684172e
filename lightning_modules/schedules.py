"""Learning-rate schedules, stepped after each optimiser step: functions of the step's number and the settings alone."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def constant(optimizer: Optimizer) -> LRScheduler:
    """Keep the learning rate."""
    return LambdaLR(optimizer, lambda _: 1.0)


def cosine(
    optimizer: Optimizer, total_steps: int, warmup_fraction: float = 0.0, final_factor: float = 0.0
) -> LRScheduler:
    """Warm up linearly over a fraction of the steps, then decay along half a cosine to final_factor × the learning rate."""
    warmup = int(warmup_fraction * total_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, factor)


def poly(optimizer: Optimizer, total_steps: int, power: float = 0.9) -> LRScheduler:
    """Decay as (1 - step / total_steps) ** power."""
    return LambdaLR(optimizer, lambda step: max(0.0, 1 - step / total_steps) ** power)


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
