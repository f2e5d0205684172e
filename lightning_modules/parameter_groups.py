"""Learning rates and weight decay of parts of a network, as parameter groups of an optimiser."""

from collections import defaultdict
from typing import Any

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
    undecayed = set() if settings.weight_decay_norms else _excluded(network)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        plain = not settings.weight_decay_norms and (parameter.ndim <= 1 or name.endswith(".bias") or name in undecayed)
        groups[parameter in encoder, plain].append(parameter)
    return [
        {
            "params": groups[within, plain],
            "lr": settings.encoder_lr if within else settings.lr,
            **({"weight_decay": 0.0} if plain else {}),
        }
        for within, plain in sorted(groups)
    ]


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
