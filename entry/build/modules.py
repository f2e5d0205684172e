"""From a plain configuration to the objects it names; what only a run knows is handed over here."""

import inspect
import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from hydra.utils import get_class
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from callbacks.checkpoints import Checkpoints
from callbacks.ema import AveragedWeights
from callbacks.finite_checks import FiniteLoss
from callbacks.history import HistoryWriter
from callbacks.progress import EpochLines, progress_bar, wants_bar
from callbacks.signals import StopSignal
from callbacks.step_seed import StepSeed
from datamodules.base import ImageDataModule
from datamodules.settings import DataSettings, typed
from entry.errors import RequestError
from entry.hardware import Hardware
from entry.looks import looks
from entry.build.instantiate import built, optimizer, part, scheduler
from label_spaces.space import LabelSpace
from lightning_modules.checkpoint_io import CheckpointFiles
from lightning_modules.losses import CrossEntropy, DiceCrossEntropy, OnlineHardExampleMining, TrainingLoss
from lightning_modules.supervised import SupervisedModule
from lightning_modules.test_time_augmentation import TestTimeAugmentation
from lightning_modules.weights.load import WeightsReport, load_weights, normalisation
from run_folder import RunFolder

Config = Mapping[str, Any]
CHOICES = ("_target_", "targets", "by_task")  # keys of a data option that only say what others are for a task
# About Lightning's own use of torch, and about choices that were made here: the loader resumes by itself, and what is
# logged is the same on every rank already.
KNOWN_WARNINGS = (
    ".*LeafSpec.*",
    ".*smaller than the logging interval.*",
    ".*does not have many workers.*",
    ".*your dataloader is not resumable.*",
    ".*recommended to use `self.log.*sync_dist=True.*",
    ".*will duplicate the last batch.*",
    ".*callbacks used to create the checkpoint.*",
)


def build_datamodule(config: Config, split: Path | None = None) -> ImageDataModule:
    """The datamodule of a configuration, not prepared yet.

    Args:
        config: the whole configuration.
        split: a run's own split.csv, which is read instead of splitting a second time.

    Raises RequestError or DatasetError for settings that make no sense.
    """
    make = cast("type[ImageDataModule]", get_class(config["data"]["_target_"]))
    return make(
        data_settings(config if split is None else {**config, "data": {**config["data"], "split": str(split)}}),
        seed=config["seed"],
        transform=built(config["aug"]["transform"], "aug.transform"),
        accumulate=config["trainer"]["accumulate"],
        train_eval=config["report"]["train_eval"],
        region_sizes=config["report"].get("region_sizes", False),  # a run of an earlier version lacks the key
    )


def data_settings(config: Config) -> DataSettings:
    """The data keys of a configuration, checked. Raises RequestError or DatasetError."""
    keys = {key: value for key, value in config["data"].items() if key not in CHOICES}
    unknown = sorted(keys.keys() - DataSettings.__dataclass_fields__.keys())
    if unknown:
        raise RequestError(f"There is no key 'data.{unknown[0]}'. All keys: python train.py --cfg job")
    return DataSettings(**keys)


def build_module(
    config: Config,
    space: LabelSpace,
    weights: str,
    *,
    class_counts: Sequence[int] | None = None,
    share: int = 1,
    total_steps: int = 1,
    truth: LabelSpace | None = None,
) -> tuple[SupervisedModule, WeightsReport]:
    """The LightningModule of a configuration, its first weights loaded.

    Args:
        config: the whole configuration.
        space: the classes.
        weights: what `model.weights` says, or ``none`` where a checkpoint follows.
        class_counts: training samples per class, where it is going to be trained.
        share: samples of a full batch on one device.
        total_steps: optimiser steps of the whole training.
        truth: the classes of the data, where weights from elsewhere are evaluated with heads of their own.

    Raises RequestError or WeightsError for settings or weights that do not fit.
    """
    lightning.seed_everything(config["seed"], verbose=False)
    model = config["model"]  # a run from before one of its keys goes on without
    network: nn.Module = part(model["network"], "model.network", num_classes=space.num_classes)
    if config["trainer"]["channels_last"]:
        network = network.to(memory_format=torch.channels_last)
    report = load_weights(
        network,
        model["name"],
        weights,
        target=model["network"]["_target_"],
        num_classes=space.num_classes,
        whole=truth is not None,
        partial=model.get("partial", False),
    )
    make = cast("type[SupervisedModule]", get_class(config["lightning_module"]["_target_"]))
    module = make(
        network=network,
        label_space=space,
        normalisation=normalisation(model.get("mean"), model.get("std")),
        optimizer=optimizer(config["optimizer"], config["trainer"]["precision"]),
        scheduler=scheduler(config["scheduler"], total_steps),
        share=share,
        loss=build_loss(config["loss"], space.num_classes, class_counts),
        test_time_augmentation=TestTimeAugmentation(**looks(config)),
        **({} if truth is None else {"truth": truth}),
    )
    if config["trainer"]["precision"] == "64-true":
        module.double()  # the trainer would do it only after a checkpoint has been read into, and rounded to, float32
    return module, report


def build_loss(settings: Mapping[str, Any], num_classes: int, counts: Sequence[int] | None) -> nn.Module:
    """The training loss that conf/train.yaml's `loss` describes. Raises RequestError for what there is not.

    Args:
        settings: `loss`.
        num_classes: of the label space.
        counts: training samples or pixels per class, where it is going to be trained.
    """
    name, smoothing = settings["name"], settings["label_smoothing"]
    weights = None if counts is None else class_weights(settings["class_weights"], counts)
    losses: dict[str, Callable[[], nn.Module]] = {
        "cross_entropy": lambda: CrossEntropy(num_classes, weights, smoothing),
        "dice_cross_entropy": lambda: DiceCrossEntropy(num_classes, weights),
        "ohem": lambda: OnlineHardExampleMining(num_classes, weights),
    }
    if name not in losses:
        raise RequestError(f"loss.name={name}: must be one of {', '.join(losses)}.")
    if smoothing and name != "cross_entropy":
        raise RequestError(f"loss.label_smoothing={smoothing} goes with loss.name=cross_entropy only.")
    return TrainingLoss(losses[name](), num_classes, settings["auxiliary"])


def class_weights(wanted: str, counts: Sequence[int]) -> torch.Tensor | None:
    """(C,) weights of the classes in the loss: none, or inversely proportional to their counts with a mean over samples of 1."""
    if wanted == "none":
        return None
    if wanted != "balanced":
        raise RequestError(f"loss.class_weights={typed(wanted)}: must be none or balanced.")
    numbers = torch.tensor(counts, dtype=torch.float64)
    # A class that training never shows has no weight to speak of: its loss never occurs.
    return (numbers.sum() / ((numbers > 0).sum() * numbers.clamp(min=1))).float()


def total_steps(config: Config, datamodule: ImageDataModule) -> int:
    """Optimiser steps of the whole training."""
    steps, trainer = datamodule.steps_per_epoch, config["trainer"]
    if trainer["limit_batches"] is not None:
        steps = min(steps, math.ceil(trainer["limit_batches"] / trainer["accumulate"]))
    return max(1, steps * int(trainer["max_epochs"]))


def check_batches(module: SupervisedModule, datamodule: ImageDataModule, ranks: int) -> None:
    """Raise RequestError where a batch would leave BatchNorm a single sample, which torch refuses in the middle of an epoch.

    Raises DatasetError where a step cannot be dealt evenly to the ranks.
    """
    sizes = datamodule.training_batch_sizes(ranks)
    normalises = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules())
    if normalises and 1 in sizes:
        size, count = datamodule.settings.batch_size, len(datamodule.table.indices("train"))
        parts = ranks * datamodule.accumulate
        among = f" on one of {parts} devices × accumulated batches" if parts > 1 else ""
        raise RequestError(
            f"data.batch_size={size} leaves a batch of one sample{among} ({count} training samples), from which BatchNorm "
            f"cannot learn. Type data.drop_last=true, or another size, such as data.batch_size={size + parts}."
        )


def build_trainer(
    config: Config,
    hardware: Hardware,
    folder: RunFolder,
    *,
    headline: str,
    logger: Logger | None = None,
    signal: StopSignal | None = None,
) -> lightning.Trainer:
    """The Trainer of a configuration.

    Args:
        config: the whole configuration.
        hardware: what it computes with.
        folder: where history and checkpoints go.
        headline: the score by which the best checkpoint is chosen.
        logger: the mirror, if any.
        signal: hears what makes training stop; without one, nothing is trained and nothing is written.
    """
    torch.set_num_threads(hardware.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # what matters is said by announce
    for known in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message=known)
    trainer = config["trainer"]
    bar = wants_bar(trainer["progress"])
    callbacks: list[Callback] = [progress_bar() if bar else EpochLines(headline)]
    if signal is not None:
        callbacks += _training_callbacks(config, folder, headline, signal)
    several = hardware.ranks > 1
    return lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=_ddp(trainer, hardware) if several else "auto",
        sync_batchnorm=several and trainer["sync_batchnorm"],
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
        # Said, not guessed: inside a SLURM job Lightning would take a single process for one of its tasks.
        plugins=[CheckpointFiles(), TorchElasticEnvironment() if several else LightningEnvironment()],
        default_root_dir=folder.path,
        enable_checkpointing=signal is not None,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,  # its scores would be taken for those of an epoch
        use_distributed_sampler=False,  # the batch samplers know the ranks
        reload_dataloaders_every_n_epochs=1,  # an epoch's order and augmentation follow from its number
        log_every_n_steps=10,
    )


def _ddp(trainer: Mapping[str, Any], hardware: Hardware) -> DDPStrategy:
    # Gradients are all that is sent at a step: the module gives its buffers (BatchNorm's) to the other ranks when they
    # are needed, before a validation. The setting has got a new name in torch 2.14.
    keys = inspect.signature(DistributedDataParallel).parameters
    sending = "forward_sync_buffers" if "forward_sync_buffers" in keys else "broadcast_buffers"
    settings: dict[str, Any] = {
        "process_group_backend": "gloo" if hardware.accelerator == "cpu" else None,
        "find_unused_parameters": trainer["find_unused_parameters"],
        "gradient_as_bucket_view": True,  # no second copy of the gradients
        sending: False,
    }
    if hardware.accelerator == "cpu":
        # The cores that would send while others compute are the same ones: sending at once when all is computed is
        # quicker (ResNet-18 on two ranks and two cores: 192 images/s against 177 with torch's buckets of 25 MB).
        settings["bucket_cap_mb"] = 1024
    return DDPStrategy(**settings)


def _training_callbacks(config: Config, folder: RunFolder, headline: str, signal: StopSignal) -> list[Callback]:
    keys = config["checkpointing"]
    callbacks: list[Callback] = [
        StepSeed(config["seed"]),
        FiniteLoss(),
        signal,
        HistoryWriter(folder.history),
        Checkpoints(
            folder.checkpoints,
            f"val/{headline}",
            signal,
            every_n_steps=keys["every_n_steps"],
            every_minutes=keys["every_minutes"],
            keep=keys["keep"],
        ),
    ]
    decay = config.get("ema", {}).get("decay")  # a run from before this key goes on without
    if decay is not None:
        callbacks.append(AveragedWeights(decay))
    early = config["early_stopping"]
    if early["patience"] is not None:
        callbacks.append(
            EarlyStopping("val/loss", patience=early["patience"], min_delta=early["min_delta"], verbose=True)
        )
    return callbacks
