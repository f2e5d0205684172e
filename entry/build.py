"""From a plain configuration to the objects it names; what only a run knows is handed over here."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning
import torch
from hydra.utils import get_class, instantiate
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger
from torch import nn

from callbacks.checkpoints import AtomicCheckpointIO, best_and_last
from callbacks.finite_loss import FiniteLoss
from callbacks.history import HistoryWriter
from callbacks.progress import EpochLines, progress_bar, wants_bar
from callbacks.step_seed import StepSeed
from callbacks.stopping import StopAtStep
from datamodules.base import ImageDataModule
from datamodules.settings import DataSettings
from entry.errors import RequestError
from entry.hardware import Hardware
from label_spaces.space import LabelSpace
from lightning_modules.networks.architectures import IMAGENET_MEAN, IMAGENET_STD
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights import WeightsReport, load_weights
from run_folder import RunFolder

Config = Mapping[str, Any]


def build_datamodule(config: Config) -> ImageDataModule:
    """The datamodule of a configuration, not prepared yet. Raises RequestError or DatasetError for settings that make no sense."""
    make = cast("type[ImageDataModule]", get_class(config["data"]["_target_"]))
    return make(
        data_settings(config),
        seed=config["seed"],
        transform=instantiate(config["aug"]["transform"]),
        accumulate=config["trainer"]["accumulate"],
        train_eval=config["report"]["train_eval"],
    )


def data_settings(config: Config) -> DataSettings:
    """The data keys of a configuration, checked. Raises RequestError or DatasetError."""
    keys = {key: value for key, value in config["data"].items() if key not in ("_target_", "targets")}
    unknown = sorted(keys.keys() - DataSettings.__dataclass_fields__.keys())
    if unknown:
        raise RequestError(f"There is no key 'data.{unknown[0]}'. All keys: python train.py --cfg job")
    return DataSettings(**keys)


def build_module(
    config: Config, space: LabelSpace, weights: str, class_counts: Sequence[int] | None = None
) -> tuple[SupervisedModule, WeightsReport]:
    """The LightningModule of a configuration, its first weights loaded.

    Args:
        config: the whole configuration.
        space: the classes.
        weights: what `model.weights` says, or ``none`` where a checkpoint follows.
        class_counts: training samples per class, where it is going to be trained.
    """
    lightning.seed_everything(config["seed"], verbose=False)
    network: nn.Module = instantiate(config["model"]["network"], num_classes=space.num_classes)
    report = load_weights(network, config["model"]["name"], weights)
    make = cast("type[SupervisedModule]", get_class(config["lightning_module"]["_target_"]))
    module = make(
        network=network,
        label_space=space,
        normalisation=(IMAGENET_MEAN, IMAGENET_STD),
        optimizer=instantiate(config["optimizer"]),
        scheduler=instantiate(config["scheduler"]),
        class_weights=None if class_counts is None else class_weights(config["loss"]["class_weights"], class_counts),
        label_smoothing=config["loss"]["label_smoothing"],
        channels_last=config["trainer"]["channels_last"],
    )
    return module, report


def class_weights(wanted: str, counts: Sequence[int]) -> torch.Tensor | None:
    """(C,) weights of the classes in the loss: none, or inversely proportional to their counts with a mean over samples of 1."""
    if wanted == "none":
        return None
    if wanted != "balanced":
        raise RequestError(f"loss.class_weights={wanted}: must be none or balanced.")
    numbers = torch.tensor(counts, dtype=torch.float32)
    return numbers.sum() / (len(numbers) * numbers)


def check_batches(module: SupervisedModule, datamodule: ImageDataModule) -> None:
    """Raise RequestError where a batch would leave BatchNorm a single sample, which torch refuses in the middle of an epoch."""
    normalises = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules())
    if normalises and 1 in datamodule.training_batch_sizes():
        size, count = datamodule.settings.batch_size, len(datamodule.table.indices("train"))
        raise RequestError(
            f"data.batch_size={size} leaves a batch of one sample ({count} training samples), from which BatchNorm cannot learn. "
            f"Type data.drop_last=true, or another size, such as data.batch_size={size + 1}."
        )


def build_trainer(
    config: Config,
    hardware: Hardware,
    folder: RunFolder,
    *,
    headline: str,
    logger: Logger | None = None,
    stopper: StopAtStep | None = None,
) -> lightning.Trainer:
    """The Trainer of a configuration.

    Args:
        config: the whole configuration.
        hardware: what it computes with.
        folder: where history and checkpoints go.
        headline: the score by which the best checkpoint is chosen.
        logger: the mirror, if any.
        stopper: makes training stop between two steps; without one, nothing is trained and nothing is written.
    """
    torch.set_num_threads(hardware.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # what matters is said by announce
    for known in (".*LeafSpec.*", ".*smaller than the logging interval.*", ".*does not have many workers.*"):
        warnings.filterwarnings(
            "ignore", message=known
        )  # about Lightning's own use of torch, and about choices made here
    trainer = config["trainer"]
    bar = wants_bar(trainer["progress"])
    callbacks: list[Callback] = [progress_bar() if bar else EpochLines(headline)]
    if stopper is not None:
        callbacks += _training_callbacks(config, folder, headline, stopper)
    return lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=trainer["devices"],
        precision=cast(Any, hardware.precision),
        max_epochs=trainer["max_epochs"],
        deterministic=trainer["deterministic"],
        limit_train_batches=trainer["limit_batches"],
        limit_val_batches=trainer["limit_batches"],
        limit_test_batches=trainer["limit_batches"],
        accumulate_grad_batches=trainer["accumulate"],
        gradient_clip_val=trainer["gradient_clip"],
        logger=logger or False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder.path,
        enable_checkpointing=stopper is not None,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,  # its scores would be taken for those of an epoch
        use_distributed_sampler=False,  # the batch samplers know the ranks
        reload_dataloaders_every_n_epochs=1,  # an epoch's order and augmentation follow from its number
        log_every_n_steps=10,
    )


def _training_callbacks(config: Config, folder: RunFolder, headline: str, stopper: StopAtStep) -> list[Callback]:
    callbacks: list[Callback] = [
        StepSeed(config["seed"]),
        FiniteLoss(),
        stopper,
        HistoryWriter(folder.history),
        *best_and_last(folder.checkpoints, monitor=f"val/{headline}"),
    ]
    early = config["early_stopping"]
    if early["patience"] is not None:
        callbacks.append(
            EarlyStopping("val/loss", patience=early["patience"], min_delta=early["min_delta"], verbose=True)
        )
    return callbacks
