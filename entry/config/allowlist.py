"""Which classes and functions may be built that conf/ does not name: an allowlist of the objects, not of their spelling.

What counts is the module and the name under which an object was defined, so that an alias such as
``torch.optim.optimizer.torch.hub.load`` is refused like ``torch.hub.load`` itself. A name is checked before anything is imported for it, because importing runs code: it must
lie in a known package, and no part of it may begin with an underscore.

Left out although their packages are known:

- functions other than our own builders and schedules and torchvision's registered models: helpers load, save, download
  and call (``albumentations.load``, ``torchvision.models.get_model``, ``lightning_modules.weights.load.Path``);
- classes that call a function they are given (albumentations' Lambda, Lightning's LambdaCallback, torch's LambdaLR
  and MultiplicativeLR), and albumentations' transforms that read files by themselves (FDA, HistogramMatching,
  PixelDistributionAdaptation, TextImage): YAML cannot express a function, and data comes from `data.root`;
- abstract classes, and Lightning's command line, whose callback writes files.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from types import FunctionType, ModuleType

from entry.errors import RequestError


def import_allowed(package: str) -> None:
    """Import a package that the user allows, so that it can register what it defines. Raises RequestError."""
    top, *_ = parts = package.split(".")
    if not all(part.isidentifier() for part in parts) or top in sys.stdlib_module_names or top in OURS:
        raise RequestError(f"allow=[{package}]: must be an importable package of your own.")
    try:
        import_module(package)
    except ImportError as error:
        raise RequestError(
            f"allow=[{package}]: it cannot be imported ({error}). Install it, or add its folder to PYTHONPATH."
        ) from None


@dataclass(frozen=True)
class Allowed:
    """What may be built from a package."""

    packages: tuple[str, ...]  # what is named and what the name stands for must both lie in one of them
    fits: Callable[[object], bool]  # whether an object defined in them may be built
    called: str  # for the message
    left_out: tuple[str, ...] = ()  # names of classes that fit and are left out nevertheless

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


def _is_registered_model(found: object) -> bool:
    from torchvision.models import get_model_builder, list_models

    return _is_function(found) and any(found is get_model_builder(name) for name in list_models())


# What may be built at a key and everywhere below it; nothing is built at other keys.
PLACES = {
    "data._target_": (Allowed(("datamodules",), _below("lightning.LightningDataModule"), "our data modules"),),
    "lightning_module._target_": (Allowed(("lightning_modules",), _below("lightning.LightningModule"), "our Lightning modules"),),
    "model.network": (
        Allowed(("lightning_modules.networks",), _is_function, "our networks"),
        Allowed(("lightning_modules.networks",), _below("torch.nn.Module"), ""),
        Allowed(("torchvision.models",), _is_registered_model, "models of torchvision.models"),
    ),
    "loss": (
        Allowed(("lightning_modules.losses", "lightning_modules.hard_losses"), _below("torch.nn.Module"), "our losses"),
        Allowed(("torch.nn",), _below("torch.nn.modules.loss._Loss"), "losses of torch.nn"),
    ),
    "optimizer": (Allowed(("torch.optim",), _below("torch.optim.Optimizer"), "optimisers of torch.optim"),),
    "scheduler": (
        Allowed(("lightning_modules.schedules",), _is_function, "our schedules"),
        Allowed(("torch.optim",), _below("torch.optim.lr_scheduler.LRScheduler"), "schedulers of torch.optim",
                left_out=("LambdaLR", "MultiplicativeLR")),
    ),
    "aug.transform": (
        Allowed(("albumentations",), _below("albumentations.BasicTransform", "albumentations.BaseCompose"),
                "transforms of albumentations",
                left_out=("Lambda", "FDA", "HistogramMatching", "PixelDistributionAdaptation", "TextImage")),
    ),
    "callbacks": (
        Allowed(("callbacks", "lightning.pytorch.callbacks"), _below("lightning.pytorch.callbacks.Callback"),
                "our callbacks and those of lightning.pytorch", left_out=("LambdaCallback",)),
    ),
}  # fmt: skip
OURS = ("callbacks", "conf", "datamodules", "entry", "evaluate", "label_spaces", "lightning_modules", "metrics", "predict", "reports",
        "run_files", "run_folder", "settings", "streams", "train")  # fmt: skip


def check_target(place: str, target: object, allow: Sequence[str] = ()) -> None:
    """Raise RequestError unless a target may be built at its place; `allow` are packages of the user's own."""
    rules = [*next((kinds for key, kinds in PLACES.items() if place == key or place.startswith(f"{key}.")), ())]
    if allow:
        rules += [replace(rule, packages=tuple(allow), called="") for rule in rules]
    if isinstance(target, str) and _may_be_imported(target, rules):
        found = _find(target)
        if found is None:
            near = _near(target) if target.startswith("torchvision.models.") else ""
            raise RequestError(f"{place}={target}: there is nothing of that name.{near}")
        if any(rule.takes(found) for rule in rules):
            return
    may = ", ".join(rule.called for rule in rules if rule.called)
    if not may:
        raise RequestError(f"{place}={target}: nothing is built at this key.")
    own = "those of packages in allow=[…]" if not allow else f"those of {', '.join(allow)}"
    raise RequestError(f"{place}={target} is not built: allowed here are {may}, {own}, and nothing else.")


def _near(target: str) -> str:
    """Models of torchvision with names like that of a target."""
    from torchvision import models

    near = get_close_matches(target.rpartition(".")[2], models.list_models(module=models), cutoff=0.5)
    return f" Like it: {', '.join(near)}." if near else ""


def _may_be_imported(target: str, rules: Sequence[Allowed]) -> bool:
    """Whether a name is a plain dotted one that lies in a known package."""
    known = any(rule.has(target) for rule in rules)
    return known and all(part.isidentifier() and not part.startswith("_") for part in target.split("."))


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
