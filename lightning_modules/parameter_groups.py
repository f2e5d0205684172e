"""Learning rates and weight decay of parts of a network, as parameter groups of an optimiser."""

import re
from collections import defaultdict
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from typing import Any

import torch
from torch import nn

from lightning_modules.errors import NetworkError
from settings.model import OptimizerSettings

ENCODERS = ("encoder", "backbone")  # what smp's and torchvision's segmentation models call it
HEADS = ("fc", "classifier", "head", "heads", "AuxLogits", "aux1", "aux2")  # of torchvision's classifiers


def parameter_groups(network: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """The parameter groups that settings describe; the first is that of the head.

    Without weight decay are, where norms have none, all biases and one-dimensional weights, and what timm names. The groups depend
    on which settings are given, not on their values. Raises NetworkError for a network without the parts that they need.
    """
    inside = set() if settings.encoder_lr is None else encoder_modules(network, "optimizer.encoder_lr")
    encoder = {parameter for module in inside for parameter in module.parameters(recurse=False)}
    depths = {} if settings.layer_decay is None else layer_depths(network)
    undecayed = () if settings.weight_decay_norms else _excluded(network)
    groups: dict[tuple[bool, int, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        plain = not settings.weight_decay_norms and (
            parameter.ndim <= 1 or name.endswith(".bias") or any(fnmatch(name, each) for each in undecayed)
        )
        groups[parameter in encoder, depths.get(parameter, 0), plain].append(parameter)
    rates = {False: settings.lr, True: settings.encoder_lr or settings.lr}
    return [
        {
            "params": groups[within, depth, plain],
            "lr": rates[within] * (settings.layer_decay or 1.0) ** depth,
            **({"weight_decay": 0.0} if plain else {}),
        }
        for within, depth, plain in sorted(groups)
    ]


def layer_depths(network: nn.Module) -> dict[nn.Parameter, int]:
    """The number of layers, as timm counts them, between each weight of a network and its head; the head itself is not in it.

    A decoder stands in the place of the classifier. Raises NetworkError where timm has no layers for it.
    """
    name, encoder = getattr(network, "timm_name", None), getattr(network, "encoder_name", None)
    if name is None:
        raise NetworkError(
            "optimizer.layer_decay: layers are known of timm's networks only. Take model=timm, or model=smp with an encoder of timm, such as "
            "model.encoder=tu-convnext_tiny; or optimizer.encoder_lr, one learning rate for the whole encoder."
        )
    import timm
    from timm.models import group_parameters

    built: Any = network  # by timm or smp
    part: nn.Module = built.part
    whole: Any = part if encoder is None else _without_values(partial(timm.create_model, name))
    if not hasattr(whole, "group_matcher"):
        raise NetworkError(f"optimizer.layer_decay: timm has no layers for {name}. Take optimizer.encoder_lr.")
    layers = group_parameters(whole, whole.group_matcher(coarse=False), reverse=True)
    last = max(layers.values())
    flat = {each.replace(".", "_"): last - layer for each, layer in layers.items()}  # as timm's pyramids of features
    found = {
        parameter: flat[place]
        for each, parameter in part.named_parameters()
        if (place := re.sub(r"^(model\.)+", "", each).replace(".", "_")) in flat
    }
    if encoder is not None and len(found) < len([*part.parameters()]):
        raise NetworkError(
            f"optimizer.layer_decay: smp has changed the layers of {encoder}. Take optimizer.encoder_lr."
        )
    return found


def _without_values(make: Callable[[], nn.Module]) -> nn.Module:
    """Build a network whose weights have names and shapes only, unless it cannot be built so."""
    try:
        with torch.device("meta"):
            return make()
    except (NotImplementedError, RuntimeError):
        return make()


def encoder_modules(network: nn.Module, key: str) -> set[nn.Module]:
    """All modules of a network's encoder: of a classifier those outside its classifier. Raises NetworkError, naming `key`, without one."""
    inner: Any = network.model if isinstance(getattr(network, "model", None), nn.Module) else network
    heads: list[nn.Module] = []
    if hasattr(inner, "get_classifier"):  # timm's
        found = inner.get_classifier()
        heads = [*found] if isinstance(found, tuple | list) else [found]
    elif type(inner).__module__.startswith("torchvision.models.") and not hasattr(inner, "backbone"):
        heads = [child for name, child in inner.named_children() if name in HEADS]
    if heads:
        return {*inner.modules()} - {each for head in heads for each in head.modules()}
    for name in ENCODERS:
        if isinstance(part := getattr(inner, name, None), nn.Module):
            return {*part.modules()}
    raise NetworkError(
        f"{key}: {type(network).__name__} has no pretrained encoder apart from a head. Leave it out, or take a model that has one, such as "
        "model=resnet18, model=timm or model=smp; a network of your own needs a part named encoder or backbone."
    )


def _excluded(network: nn.Module) -> set[str]:
    """Names of further parameters without weight decay, such as positions, that models of timm in a network give."""
    return {
        f"{place}.{name}".removeprefix(".")
        for place, module in network.named_modules()
        if hasattr(module, "no_weight_decay")
        for name in module.no_weight_decay()
    }
