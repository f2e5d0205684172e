"""What a configuration may name to be built: an allowlist of what names stand for, not of how they are spelt.

A configuration is data, and may come from anywhere: a run folder that somebody sent is as much a configuration as
conf/. Each `_target_` in it is looked up here before anything is built, and what it stands for decides by the module
and the name that it was defined under. So an alias such as ``torch.optim.optimizer.torch.hub.load`` is refused like
``torch.hub.load`` itself. A name is looked at before anything is imported for it, because importing runs code: it must
lie in a known package, and no part of it may begin with an underscore.

Left out although their packages are known:

- functions other than our own builders and schedules and torchvision's registered models: helpers load, save, download
  and call (``albumentations.load``, ``torchvision.models.get_model``, ``lightning_modules.weights.load.Path``);
- what is made to call a function that it is given (albumentations' Lambda, Lightning's LambdaCallback, torch's LambdaLR
  and MultiplicativeLR), and albumentations' transforms that read files by themselves (FDA, HistogramMatching,
  PixelDistributionAdaptation, TextImage): YAML can say no function, and data comes from `data.root`;
- torchmetrics' text, image, audio, multimodal and detection, which download and unpickle other people's models;
- abstract classes, and Lightning's command line, whose callback writes files.

Callbacks and loggers that are left in do write, as Lightning's do, into the folder that they are given.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from entry.errors import RequestError

TARGET = "_target_"


def check_targets(config: Mapping[str, Any]) -> None:
    """Look up everything that a plain, resolved configuration asks to be built, at any depth; builds nothing.

    A text that still holds ``${`` is refused wherever it stands: Hydra resolves it a second time when it builds, and
    could find a `_target_` in it that nobody has looked at.

    Raises:
        RequestError: names the target, its key and what is allowed, or the text.
    """
    try:
        leaves = list(_leaves(config, ""))
    except RecursionError:  # YAML can say that, with an anchor
        raise RequestError("The configuration contains itself; remove the anchor (&) that does it.") from None
    for place, key, value in leaves:
        if "${" in key or (isinstance(value, str) and "${" in value):
            raise RequestError(f"{place}={value}: ${{ }} cannot stand in a configuration that is resolved already.")
        if key == TARGET:
            _check(place, value)


def _leaves(node: object, place: str) -> Iterator[tuple[str, str, object]]:
    """(dotted key, its last part, value) of everything below a node; a `_target_` is given whatever its value is."""
    pairs: Sequence[tuple[Any, Any]] = ()
    if isinstance(node, Mapping):
        pairs = list(node.items())
    elif isinstance(node, list | tuple):
        pairs = list(enumerate(node))
    for key, value in pairs:
        inner = f"{place}.{key}" if place else str(key)
        if isinstance(value, Mapping | list | tuple) and key != TARGET:
            yield inner, str(key), None
            yield from _leaves(value, inner)
        else:
            yield inner, str(key), value


@dataclass(frozen=True)
class Allowed:
    """What may be built from a package.

    Args:
        packages: what is named and what the name stands for must both lie in one of them.
        fits: whether an object defined in them may be built.
        called: for the message.
        left_out: names of classes that fit and are left out nevertheless.
    """

    packages: tuple[str, ...]
    fits: Callable[[object], bool]
    called: str
    left_out: tuple[str, ...] = ()

    def has(self, dotted: str) -> bool:
        """Whether a dotted name lies in one of the packages."""
        return any(dotted == package or dotted.startswith(f"{package}.") for package in self.packages)

    def takes(self, found: object) -> bool:
        """Whether an object is defined in one of the packages, is of the right kind and is not left out."""
        module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
        if not (isinstance(module, str) and isinstance(name, str)) or name.startswith("_") or "." in name:
            return False
        return self.has(module) and name not in self.left_out and not inspect.isabstract(found) and self.fits(found)


def _below(*bases: str) -> Callable[[object], bool]:
    """Whether an object is a subclass of one of the classes with these dotted names, and not the class itself."""

    def fits(found: object) -> bool:
        known = tuple(getattr(import_module(base.rpartition(".")[0]), base.rpartition(".")[2]) for base in bases)
        return isinstance(found, type) and issubclass(found, known) and found not in known

    return fits


def _is_function(found: object) -> bool:
    return isinstance(found, FunctionType)


def _is_network(found: object) -> bool:
    return _is_function(found) or _below("torch.nn.Module")(found)


def _is_registered_model(found: object) -> bool:
    from torchvision.models import get_model_builder, list_models

    return _is_function(found) and any(found is get_model_builder(name) for name in list_models())


def _is_class(found: object) -> bool:
    return isinstance(found, type)


COUNTING = ("aggregation", "classification", "clustering", "nominal", "regression", "retrieval", "segmentation")
ALLOWED = (
    Allowed(("datamodules",), _below("lightning.LightningDataModule"), "our data modules"),
    Allowed(("lightning_modules",), _below("lightning.LightningModule"), "our Lightning modules"),
    Allowed(("lightning_modules.networks",), _is_network, "our networks"),
    Allowed(("lightning_modules.schedules",), _is_function, "our schedules"),
    Allowed(("callbacks",), _below("lightning.pytorch.callbacks.Callback"), "our callbacks"),
    Allowed(("torch.optim",), _below("torch.optim.Optimizer"), "optimisers of torch.optim"),
    Allowed(
        ("torch.optim",),
        _below("torch.optim.lr_scheduler.LRScheduler"),
        "schedulers of torch.optim",
        left_out=("LambdaLR", "MultiplicativeLR"),
    ),
    Allowed(
        ("lightning.pytorch.callbacks", "lightning.pytorch.loggers"),
        _below("lightning.pytorch.callbacks.Callback", "lightning.pytorch.loggers.Logger"),
        "callbacks and loggers of lightning.pytorch",
        left_out=("LambdaCallback",),
    ),
    Allowed(
        ("albumentations",),
        _below("albumentations.BasicTransform", "albumentations.BaseCompose"),
        "transforms of albumentations",
        left_out=("Lambda", "FDA", "HistogramMatching", "PixelDistributionAdaptation", "TextImage"),
    ),
    Allowed(("torchvision.models",), _is_registered_model, "models of torchvision.models"),
    Allowed(tuple(f"torchmetrics.{part}" for part in COUNTING), _below("torchmetrics.Metric"), "metrics of torchmetrics"),
    Allowed(("rich",), _is_class, "classes of rich"),
)  # fmt: skip
# What the doors build from these keys must be of one kind; elsewhere everything that is allowed may stand.
PLACES = {
    "data._target_": ("our data modules",),
    "lightning_module._target_": ("our Lightning modules",),
    "model.network._target_": ("our networks", "models of torchvision.models"),
    "optimizer._target_": ("optimisers of torch.optim",),
    "scheduler._target_": ("our schedules", "schedulers of torch.optim"),
    "aug.transform._target_": ("transforms of albumentations",),
}
SHORT = ("torchmetrics",)  # whose metrics are named without the part that they are defined in


def _check(place: str, target: object) -> None:
    """Raise RequestError unless what a target stands for may be built."""
    rules = [rule for rule in ALLOWED if place not in PLACES or rule.called in PLACES[place]]
    if isinstance(target, str) and _may_be_imported(target):
        found = _find(target)
        if found is None:
            raise RequestError(f"{place}={target}: there is nothing of that name.")
        if any(rule.takes(found) for rule in rules):
            return
    may = ", ".join(rule.called for rule in rules)
    raise RequestError(f"{place}={target} is not built: what may be named there is {may}, and nothing else.")


def _may_be_imported(target: str) -> bool:
    """Whether a name is a plain dotted one that lies in a known package."""
    parts = target.split(".")
    known = any(rule.has(target) for rule in ALLOWED) or parts[0] in SHORT
    return known and all(part.isidentifier() and not part.startswith("_") for part in parts)


def _find(target: str) -> object | None:
    """What Hydra finds under a dotted name: attribute by attribute, importing only where a module lacks one."""
    first, *rest = target.split(".")
    found: object = import_module(first)
    dotted = first
    for part in rest:
        inside = found
        dotted = f"{dotted}.{part}"
        try:
            found = getattr(inside, part)
        except AttributeError:
            # Through an alias, such as ….optimizer.torch, nothing further is imported.
            if not isinstance(inside, ModuleType) or f"{inside.__name__}.{part}" != dotted:
                return None
            try:
                found = import_module(dotted)
            except ImportError:
                return None
    return found
