"""From a `Target` to the object that it describes; settings that it does not accept are refused before anything starts."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from entry.errors import RequestError
from settings.base import Target, as_typed, legal
from settings.model import OptimizerSettings, SchedulerSettings

SCALARS = (bool, int, float, str)


def build(target: Target, key: str, leave_out: Sequence[str] = (), **known: Any) -> Any:
    """The object that a target describes, and those inside it.

    Args:
        target: class or function, and arguments.
        key: where it stands in the configuration, such as ``model.network``.
        leave_out: keys that are no arguments.
        known: arguments that only a run knows.

    Raises:
        RequestError: it does not accept one of these arguments, or a value. Other errors are bugs, and stay as they are.
    """
    arguments = {name: value for name, value in target.to_dict().items() if name not in leave_out}
    names, takes_any = _parameters(target)
    unknown = [name for name in arguments if not (takes_any or name in names or name.startswith("_"))]
    if unknown:
        own = [
            name
            for name, parameter in names.items()
            if name in arguments or parameter.default is not inspect.Parameter.empty
        ]
        called = get_object(target.target).__name__
        raise RequestError(
            f"{key}.{unknown[0]}: {called} has no such setting. Those it has: {', '.join(own) or 'none at all'}."
        )
    for name, value in arguments.items():
        kind = _scalar_type(names[name]) if name in names else None
        if kind and not _is_one(value, kind) and value is not names[name].default:
            raise RequestError(f"{key}.{name}={as_typed(value)}: must be {legal(kind)}.")
    if "weights_backbone" in names and "weights_backbone" not in arguments:
        known["weights_backbone"] = (
            None  # torchvision's segmentation models would download one, whatever model.weights is
        )
    try:
        return instantiate(arguments, **known)
    except InstantiationException as error:
        raise _refusal(error, key, arguments) or error from None


def accepted(target: Target, known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some arguments that a target's function has parameters for."""
    names, takes_any = _parameters(target)
    return {name: value for name, value in known.items() if takes_any or name in names}


def _parameters(target: Target) -> tuple[Mapping[str, inspect.Parameter], bool]:
    """The parameters of a target's function, and whether it takes any others."""
    parameters = inspect.signature(get_object(target.target)).parameters
    return parameters, any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())


def _scalar_type(parameter: inspect.Parameter) -> type | None:
    """The type of a parameter where it is a plain one; values of other types are left to the function itself."""
    return next((kind for kind in SCALARS if parameter.annotation in (kind, kind.__name__)), None)


def _is_one(value: object, kind: type) -> bool:
    """Whether a value of YAML has a type; a whole number is also a number, true and false are neither."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _refusal(error: InstantiationException, key: str, arguments: Mapping[str, Any]) -> RequestError | None:
    """What the target itself, or one inside it, did not accept; None for a bug."""
    reason, named = error.__cause__, re.search(r"target '(?:\w+\.)*(\w+)'", str(error))
    if named is None or not isinstance(reason, TypeError | ValueError):
        return None
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(reason))
    if unknown and unknown[1] in arguments:
        return RequestError(f"{key}.{unknown[1]}: {named[1]} has no such setting.")
    lines = [line.strip() for line in str(reason).splitlines() if "For further information" not in line]
    return RequestError(f"{key}: {named[1]} does not take these settings: {' '.join(lines)}.")


def optimizer(settings: OptimizerSettings, precision: str) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    """A function from parameters to their optimiser. Raises RequestError for settings that it does not accept.

    Args:
        settings: `optimizer`.
        precision: `trainer.precision`.
    """
    make: partial[Optimizer] = build(settings, "optimizer")
    if "fused" in settings.model_fields_set and precision == "16-mixed":
        # A fused step removes the loss's scale by itself, after the gradient has been clipped.
        make = partial(make, fused=False)
    try:
        make([nn.Parameter(torch.zeros(1))])  # torch checks the values only when it makes one
    except (TypeError, ValueError) as error:
        raise RequestError(f"optimizer: {make.func.__name__} does not take these settings: {error}.") from None
    return make


def scheduler(settings: SchedulerSettings, total_steps: int) -> Callable[[Optimizer], LRScheduler]:
    """A function from an optimiser to its schedule, ours or one of torch's. Raises RequestError for settings that it does not accept.

    Args:
        settings: `scheduler`.
        total_steps: optimiser steps of the whole training; given to a schedule that has such a parameter.
    """
    if get_object(settings.target) is ReduceLROnPlateau:
        raise RequestError(
            "scheduler: ReduceLROnPlateau follows a score; a schedule here is a function of the step, so that a run that is "
            "resumed has the same rates. Type scheduler=cosine, or early_stopping.patience=EPOCHS."
        )
    named, _ = _parameters(settings)
    known = {"total_steps": total_steps} if "total_steps" in named else {}
    make: partial[LRScheduler] = build(settings, "scheduler", (), **known)
    try:
        make(SGD([nn.Parameter(torch.zeros(1))], lr=1.0))
    except (TypeError, ValueError) as error:
        raise RequestError(f"scheduler: {make.func.__name__} does not take these settings: {error}.") from None
    return make
