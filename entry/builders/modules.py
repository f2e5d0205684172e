"""The data module and the Lightning module that settings describe, and any object that a `Target` describes."""

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import lightning
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, get_object, instantiate
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from datamodules.base import ImageDataModule
from datamodules.loading.mixing import MixedDataset
from entry.builders import refusals
from entry.builders.mixed_loss import mixed_loss
from entry.builders.training_network import prepare_training
from entry.errors import RequestError
from label_spaces.space import LabelSpace
from lightning_modules.losses import TrainingLoss
from lightning_modules.supervised import SupervisedModule
from lightning_modules.test_time_augmentation import TestTimeAugmentation
from lightning_modules.weights.libraries import load_library_weights
from lightning_modules.weights.load import IMAGENET_MEAN, IMAGENET_STD, TORCHVISION, WeightsReport, load_weights
from settings.base import Target, as_typed
from settings.errors import legal
from settings.model import LIBRARIES, LossSettings, OptimizerSettings, SchedulerSettings
from settings.run import RunSettings

Made = TypeVar("Made")


def build_datamodule(
    settings: RunSettings,
    split: Path | None = None,
    *,
    test_split: str | None = None,
    own_sizes: bool = False,
    label_space: LabelSpace | None = None,
) -> ImageDataModule:
    """The data module of a run, not prepared yet. Raises RequestError or DatasetError for settings that make no sense.

    `split` is a run's own split.csv, which is read instead of splitting a second time. `test_split` is what is evaluated
    (None: the reported split), with `own_sizes` each frame at its own size, for external masks. `label_space` is a run's own.
    """
    own = {"split": str(split), "folds": None, "fold": None}
    data = settings.data if split is None else settings.data.model_copy(update=own)
    if data.target is None:
        raise RequestError("data._target_ is missing. Leave it as the options in conf/data have it.")
    make = cast("type[ImageDataModule]", get_class(data.target))
    if data.options:
        refusals.check_options(make, data.options)
    aug = settings.aug
    return make(
        data,
        seed=settings.seed,
        transform=None if aug.transform is None else build(aug.transform, "aug.transform"),
        accumulate=settings.trainer.accumulate,
        train_eval=settings.report.train_eval,
        region_sizes=settings.report.region_sizes,
        test_split=test_split,
        mixing=partial(MixedDataset, keys=aug) if aug.mixup or aug.cutmix or aug.copy_paste else None,
        **({"own_sizes": True} if own_sizes else {}),
        **({} if label_space is None else {"label_space": label_space}),
        **data.options,
    )


def build_module(
    settings: RunSettings,
    space: LabelSpace,
    weights: str,
    *,
    class_counts: Sequence[int] | None = None,
    share: int = 1,
    total_steps: int | None = None,
    precision: str = "auto",
    truth: LabelSpace | None = None,
) -> tuple[SupervisedModule, WeightsReport]:
    """The Lightning module of a run, its first weights loaded. Raises RequestError or WeightsError where something does not fit.

    `space` has the classes that the network predicts, `truth` those of the data where external weights with other classes
    are evaluated. `weights` is as `model.weights`, ``none`` where a checkpoint follows. For a training there are
    `class_counts`, the training samples per class, `share`, the samples of a full batch on one device, `total_steps` and the
    `precision` of the hardware; without these the module can only be evaluated.
    """
    lightning.seed_everything(settings.seed, verbose=False)
    _keep_compiled(Path(settings.data.cache_dir))
    model, trainer = settings.model, settings.trainer
    assert model.network is not None, "only masks that are there already have no network"
    network: nn.Module = build(model.network, "model.network", num_classes=space.num_classes)
    if total_steps is not None and (trainer.compile or trainer.gradient_checkpointing or model.freeze_epochs):
        prepare_training(network, settings)
    if trainer.channels_last:
        network = network.to(memory_format=torch.channels_last)
    own = weights == "auto" and not model.network.target.startswith(TORCHVISION)  # nobody publishes weights for it
    report = WeightsReport(weights, "none")
    if model.network.target.startswith(LIBRARIES):
        report = load_library_weights(network, model, weights, space.num_classes, whole=truth is not None)
    elif weights != "none" and not own:
        report = load_weights(network, model, weights, space.num_classes, whole=truth is not None)
    mean, std = report.normalisation or (IMAGENET_MEAN, IMAGENET_STD)
    parts: dict[str, Any] = {"optimizer": _untrained, "scheduler": _untrained, "loss": nn.Identity()}
    if total_steps is not None:
        parts["optimizer"] = optimizer(settings.optimizer, precision, network)
        parts["scheduler"] = scheduler(settings.scheduler, total_steps)
        parts["loss"] = loss = build_loss(settings.loss, space.num_classes, class_counts)
        if settings.aug.mixup or settings.aug.cutmix or settings.aug.copy_paste:
            parts["loss"] = mixed_loss(settings.aug, space, settings.loss, loss)
    parts |= {} if truth is None else {"truth": truth}
    make = cast("type[SupervisedModule]", get_class(settings.lightning_module.target))
    looks = settings.evaluation
    module = make(
        network=network,
        label_space=space,
        normalisation=(model.mean or mean, model.std or std),
        **parts,
        share=share,
        test_time_augmentation=TestTimeAugmentation(
            looks.flip, looks.scales, looks.window, looks.window and looks.steps
        ),
    )
    if trainer.precision == "64-true":
        module.double()  # the trainer would do it only after a checkpoint has been read into, and rounded to, float32
    return module, report


def _keep_compiled(folder: Path) -> None:
    """Let compilers keep what they compile beside other caches, unless the user has set where; not in a home, often on a network file system.

    There their many small files and locks end ranks, and torch's own default, the folder of temporary files, is better.
    """
    home = os.environ.get("HOME")
    if not (home and folder.is_relative_to(home)):
        for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
            os.environ.setdefault(name, str(folder / name.partition("_")[0].lower()))


def _untrained(*_: object) -> NoReturn:
    raise AssertionError("this module was built for evaluation only")


def build_loss(loss: LossSettings, num_classes: int, counts: Sequence[int] | None) -> TrainingLoss:
    """The training loss, with the training samples or pixels per class. Raises RequestError for settings that its class does not accept."""
    weights = None
    if counts is not None and loss.class_weights != "none":
        from entry.builders.class_weights import class_weights

        weights = class_weights(counts)
    known = {"num_classes": num_classes, "class_weights": weights, "label_smoothing": loss.label_smoothing}
    if "ignore_index" not in loss.to_dict():
        known["ignore_index"] = num_classes  # torch.nn's name for void
    given = accepted(loss, known)
    ignored = {"class_weights": loss.class_weights != "none", "label_smoothing": bool(loss.label_smoothing)}
    for name, wanted in ignored.items():
        if wanted and name not in given:
            value, called = getattr(loss, name), loss.target.rpartition(".")[2]
            raise RequestError(f"loss.{name}={value}: {called} has no such parameter. Leave it out.")
    own = ("name", "auxiliary", "class_weights", "label_smoothing")  # not arguments as they stand
    return TrainingLoss(build(loss, "loss", own, **given), num_classes, loss.auxiliary)


def total_steps(settings: RunSettings, datamodule: ImageDataModule) -> int:
    """Optimiser steps of the whole training."""
    steps, trainer = datamodule.steps_per_epoch, settings.trainer
    if trainer.limit_batches is not None:
        steps = min(steps, math.ceil(trainer.limit_batches / trainer.accumulate))
    return trainer.max_steps or max(1, steps * trainer.max_epochs)


def build(target: Target, key: str, leave_out: Sequence[str] = (), **known: Any) -> Any:
    """The object that a target describes, and those inside it.

    `key` is where it stands in the configuration, such as ``model.network``; `leave_out` are its keys that are no arguments,
    `known` arguments that are computed for a run. Raises RequestError where it does not accept one of these, or a value;
    other errors are bugs, and stay as they are.
    """
    arguments = {name: value for name, value in target.to_dict().items() if name not in leave_out}
    names, takes_any = _parameters(target)
    unknown = [name for name in arguments if not (takes_any or name in names or name.startswith("_"))]
    if unknown:
        free = {name for name, each in names.items() if each.default is not inspect.Parameter.empty} - {*known}
        own = [name for name in names if name in arguments or name in free]
        raise refusals.no_such_setting(f"{key}.{unknown[0]}", get_object(target.target).__name__, own)
    for name, value in arguments.items():
        _check_scalar(f"{key}.{name}", value, names.get(name))
    if "weights_backbone" in names and "weights_backbone" not in arguments:
        known["weights_backbone"] = None  # torchvision would download one, whatever model.weights is
    try:
        return instantiate(arguments, **known)
    except InstantiationException as error:
        raise refusals.refusal(error, key, arguments) or error from None


def accepted(target: Target, known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some arguments that a target's function has parameters for."""
    names, takes_any = _parameters(target)
    return {name: value for name, value in known.items() if takes_any or name in names}


def _parameters(target: Target) -> tuple[Mapping[str, inspect.Parameter], bool]:
    """The parameters of a target's function, and whether it takes any others."""
    parameters = inspect.signature(get_object(target.target)).parameters
    return parameters, any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())


def _check_scalar(key: str, value: object, parameter: inspect.Parameter | None) -> None:
    """Raise RequestError for a value of another type than a parameter's, where that is a plain one; nothing is converted."""
    kinds = (bool, int, float, str)
    kind = next((each for each in kinds if parameter and parameter.annotation in (each, each.__name__)), None)
    if parameter is None or kind is None or value is parameter.default:
        return
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        raise RequestError(f"{key}={as_typed(value)}: must be {legal(kind)}.") from None


def optimizer(
    settings: OptimizerSettings, precision: str, network: nn.Module
) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    """A function from a network's parameters to their optimiser, for a precision. Raises RequestError for settings that it does not accept."""
    make: partial[Optimizer] = build(settings, "optimizer", (*settings.grouping,))
    if "fused" in settings.model_fields_set and precision == "16-mixed":
        # A fused step removes the loss's scale by itself, after the gradient has been clipped.
        make = partial(make, fused=False)
    if not any(settings.grouping.values()):
        return _tried("optimizer", make, [nn.Parameter(torch.zeros(1))])
    from lightning_modules.parameter_groups import parameter_groups

    _tried("optimizer", make, parameter_groups(network, settings))
    return lambda _: make(parameter_groups(network, settings))


def scheduler(settings: SchedulerSettings, total_steps: int) -> Callable[[Optimizer], LRScheduler]:
    """A function from an optimiser to its schedule, ours or one of torch's. Raises RequestError for settings that it does not accept.

    `total_steps`, the optimiser steps of the whole training, is given to a schedule that has such a parameter.
    """
    if get_object(settings.target) is ReduceLROnPlateau:
        raise RequestError(
            "scheduler: ReduceLROnPlateau follows a score; a schedule here is a function of the step, so that a run that is "
            "resumed has the same rates. Type scheduler=cosine, or early_stopping.patience=EPOCHS."
        )
    known = {"total_steps": total_steps} if "total_steps" in _parameters(settings)[0] else {}
    idle = [name for name, off in (("warmup_steps", None), ("warmup_fraction", 0)) if getattr(settings, name) == off]
    make: partial[LRScheduler] = build(settings, "scheduler", idle, **known)
    return _tried("scheduler", make, SGD([nn.Parameter(torch.zeros(1))], lr=1.0))


def _tried(key: str, make: partial[Made], example: object) -> partial[Made]:
    """Return `make` once it has made something of an example: torch checks the settings only then. Raises RequestError."""
    try:
        make(example)
    except (TypeError, ValueError) as error:
        raise RequestError(f"{key}: {make.func.__name__} does not take these settings: {error}.") from None
    return make
