"""An optimiser, a schedule, a network or an augmentation from its settings; one that does not take them is told before anything starts."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from datamodules.settings import typed
from entry.errors import RequestError

Settings = Mapping[str, Any]


def part(settings: Settings, key: str, **known: Any) -> Any:
    """What settings with a ``_target_`` describe. Raises RequestError for one that the target does not have.

    Args:
        settings: a part of the configuration.
        key: where it stands, such as ``model.network``.
        known: arguments that are known here only.
    """
    _check_target(settings, key)
    target = get_object(settings["_target_"])
    parameters = inspect.signature(target).parameters.values()
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    names = [parameter.name for parameter in parameters]
    unknown = [name for name in settings if not (takes_any or name in names or name.startswith("_"))]
    if unknown:
        own = [p.name for p in parameters if p.name in settings or p.default is not inspect.Parameter.empty]
        raise RequestError(
            f"{key}.{unknown[0]}: {target.__name__} has no such setting. Those it has: {', '.join(own) or 'none at all'}."
        )
    if "weights_backbone" in names and "weights_backbone" not in settings:
        known["weights_backbone"] = None  # torchvision's segmentation models would download one, whatever model.weights is
    return built(settings, key, **known)


def built(settings: Settings | None, key: str, **known: Any) -> Any:
    """What settings with a ``_target_`` describe, and those inside them; None for None.

    Raises RequestError where only the target itself can tell that it does not take them: a value, or a name that it
    hands on. Other errors are bugs, and stay as they are.

    Args:
        settings: a part of the configuration.
        key: where it stands.
        known: arguments that are known here only.
    """
    if settings is not None:
        _check_target(settings, key)
    try:
        return instantiate(settings, **known)
    except InstantiationException as error:
        reason, named = error.__cause__, re.search(r"target '(?:\w+\.)*(\w+)'", str(error))
        if settings is None or named is None or not isinstance(reason, TypeError | ValueError):
            raise
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(reason))
        if unknown and unknown[1] in settings:
            raise RequestError(f"{key}.{unknown[1]}: {named[1]} has no such setting.") from None
        lines = [line.strip() for line in str(reason).splitlines() if "For further information" not in line]
        raise RequestError(f"{key}: {named[1]} does not take these settings: {' '.join(lines)}.") from None


def optimizer(settings: Settings, precision: str) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    """What makes the optimiser of some parameters. Raises RequestError for settings that it does not take.

    Args:
        settings: `optimizer`.
        precision: `trainer.precision`.
    """
    make: partial[Optimizer] = part(settings, "optimizer")
    if "fused" in settings and precision == "16-mixed":
        # A fused step takes the loss's scale away by itself, after the gradient has been clipped.
        make = partial(make, fused=False)
    try:
        make([nn.Parameter(torch.zeros(1))])  # torch looks at the values only when it makes one
    except (TypeError, ValueError) as error:
        raise RequestError(f"optimizer: {make.func.__name__} does not take these settings: {error}.") from None
    return make


def scheduler(settings: Settings, total_steps: int) -> Callable[[Optimizer], LRScheduler]:
    """What makes the schedule of an optimiser, ours or one of torch's. Raises RequestError for settings that it does not take.

    Args:
        settings: `scheduler`.
        total_steps: optimiser steps of the whole training; told to a schedule that asks.
    """
    _check_target(settings, "scheduler")
    target = get_object(settings["_target_"])
    if target is ReduceLROnPlateau:
        raise RequestError(
            "scheduler: ReduceLROnPlateau waits for a score; a schedule here is a function of the step, so that a run that "
            "goes on after a stop has the same rates. Type scheduler=cosine, or early_stopping.patience=EPOCHS."
        )
    told = {"total_steps": total_steps} if "total_steps" in inspect.signature(target).parameters else {}
    make: partial[LRScheduler] = part(settings, "scheduler", **told)
    try:
        make(SGD([nn.Parameter(torch.zeros(1))], lr=1.0))
    except (TypeError, ValueError) as error:
        raise RequestError(f"scheduler: {make.func.__name__} does not take these settings: {error}.") from None
    return make


def _check_target(settings: object, key: str) -> None:
    if not isinstance(settings, Mapping) or "_target_" not in settings:
        told = typed(settings)
        raise RequestError(f"{key}={told}: nothing says what it is; it needs a _target_, as the options in conf/ have.")
