"""The data module and the Lightning module that settings describe."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import lightning
import torch
from hydra.utils import get_class
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from datamodules.base import ImageDataModule
from entry.builders.instantiate import accepted, build, optimizer, scheduler
from entry.errors import RequestError
from label_spaces.space import LabelSpace
from lightning_modules.losses import TrainingLoss
from lightning_modules.supervised import SupervisedModule
from lightning_modules.test_time_augmentation import TestTimeAugmentation
from lightning_modules.weights.load import WeightsReport, load_weights, normalisation
from settings.evaluation import EvaluationSettings
from settings.model import LossSettings
from settings.run import RunSettings


def build_datamodule(
    settings: RunSettings, split: Path | None = None, *, test_split: str | None = None, own_sizes: bool = False
) -> ImageDataModule:
    """The data module of a run, not prepared yet.

    Args:
        settings: of the run.
        split: a run's own split.csv, which is read instead of splitting a second time.
        test_split: the split that is evaluated; None: the one that is reported when training has ended.
        own_sizes: whether each frame is scored at its own size, for external masks.

    Raises RequestError or DatasetError for settings that make no sense.
    """
    data = settings.data if split is None else settings.data.model_copy(update={"split": str(split)})
    make = cast("type[ImageDataModule]", get_class(str(data.target)))
    transform = settings.aug.transform
    return make(
        data,
        seed=settings.seed,
        transform=None if transform is None else build(transform, "aug.transform"),
        accumulate=settings.trainer.accumulate,
        train_eval=settings.report.train_eval,
        region_sizes=settings.report.region_sizes,
        test_split=test_split,
        **({"own_sizes": True} if own_sizes else {}),
        **data.options,
    )


def build_module(
    settings: RunSettings,
    space: LabelSpace,
    weights: str,
    *,
    class_counts: Sequence[int] | None = None,
    share: int = 1,
    total_steps: int = 1,
    truth: LabelSpace | None = None,
) -> tuple[SupervisedModule, WeightsReport]:
    """The Lightning module of a run, its first weights loaded.

    Args:
        settings: of the run.
        space: the classes that the network predicts.
        weights: as `model.weights`; ``none`` where a checkpoint follows.
        class_counts: training samples per class, where it is going to be trained.
        share: samples of a full batch on one device.
        total_steps: optimiser steps of the whole training.
        truth: the classes of the data, where external weights with heads of their own are evaluated.

    Raises RequestError or WeightsError for settings or weights that do not fit.
    """
    lightning.seed_everything(settings.seed, verbose=False)
    model, trainer = settings.model, settings.trainer
    assert model.network is not None, "only masks that are there already have no network"
    network: nn.Module = build(model.network, "model.network", num_classes=space.num_classes)
    if trainer.channels_last:
        network = network.to(memory_format=torch.channels_last)
    report = load_weights(
        network,
        model.name,
        weights,
        target=model.network.target,
        num_classes=space.num_classes,
        whole=truth is not None,
        partial=model.partial,
    )
    make = cast("type[SupervisedModule]", get_class(settings.lightning_module.target))
    module = make(
        network=network,
        label_space=space,
        normalisation=normalisation(model.mean, model.std),
        optimizer=optimizer(settings.optimizer, trainer.precision),
        scheduler=scheduler(settings.scheduler, total_steps),
        share=share,
        loss=build_loss(settings.loss, space.num_classes, class_counts),
        test_time_augmentation=_test_time_augmentation(settings.evaluation),
        **({} if truth is None else {"truth": truth}),
    )
    if trainer.precision == "64-true":
        module.double()  # the trainer would do it only after a checkpoint has been read into, and rounded to, float32
    return module, report


def _test_time_augmentation(evaluation: EvaluationSettings) -> TestTimeAugmentation:
    stride = None if evaluation.window is None else evaluation.steps
    return TestTimeAugmentation(evaluation.flip, evaluation.scales, evaluation.window, stride)


def build_loss(loss: LossSettings, num_classes: int, counts: Sequence[int] | None) -> nn.Module:
    """The training loss. Raises RequestError for settings that its class does not accept.

    Args:
        loss: its settings.
        num_classes: of the label space.
        counts: training samples or pixels per class, where it is going to be trained.
    """
    weights = None if counts is None or loss.class_weights == "none" else class_weights(counts)
    known = {"num_classes": num_classes, "class_weights": weights, "label_smoothing": loss.label_smoothing}
    own = ("name", "auxiliary", "class_weights", "label_smoothing")  # not arguments as they stand
    return TrainingLoss(build(loss, "loss", own, **accepted(loss, known)), num_classes, loss.auxiliary)


def class_weights(counts: Sequence[int]) -> torch.Tensor:
    """(C,) weights of the classes in the loss, inversely proportional to their counts, with a mean over samples of 1."""
    numbers = torch.tensor(counts, dtype=torch.float64)
    # A class without training samples has no effect on the loss, whatever its weight.
    return (numbers.sum() / ((numbers > 0).sum() * numbers.clamp(min=1))).float()


def total_steps(settings: RunSettings, datamodule: ImageDataModule) -> int:
    """Optimiser steps of the whole training."""
    steps, trainer = datamodule.steps_per_epoch, settings.trainer
    if trainer.limit_batches is not None:
        steps = min(steps, math.ceil(trainer.limit_batches / trainer.accumulate))
    return max(1, steps * trainer.max_epochs)


def check_batches(module: SupervisedModule, datamodule: ImageDataModule, ranks: int) -> None:
    """Raise RequestError where a batch would leave BatchNorm a single sample, which torch refuses in the middle of an epoch.

    Raises DatasetError where a step cannot be dealt evenly to the ranks.
    """
    sizes = datamodule.training_batch_sizes(ranks)
    normalises = any(isinstance(layer, _BatchNorm) for layer in module.modules())
    if normalises and 1 in sizes:
        size, count = datamodule.settings.batch_size, len(datamodule.table.indices("train"))
        parts = ranks * datamodule.accumulate
        among = f" on one of {parts} devices × accumulated batches" if parts > 1 else ""
        raise RequestError(
            f"data.batch_size={size} leaves a batch of one sample{among} ({count} training samples), from which BatchNorm "
            f"cannot learn. Type data.drop_last=true, or another size, such as data.batch_size={size + parts}."
        )
