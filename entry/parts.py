"""An optimiser, a schedule or a network from its settings; one that does not take them is told before anything starts."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from torch import nn
from torch.optim import Optimizer

from entry.errors import RequestError

Settings = Mapping[str, Any]


def part(settings: Settings, key: str, **known: Any) -> Any:
    """What settings with a ``_target_`` describe. Raises RequestError for one that the target does not have.

    Args:
        settings: a part of the configuration.
        key: where it stands, such as ``model.network``.
        known: arguments that are known here only.
    """
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
    return instantiate(settings, **known)


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
