"""The Trainer that settings describe, with its callbacks."""

import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Any, cast

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import Logger

from callbacks.checkpoints import Checkpoints
from callbacks.early_stopping import EarlyStopping
from callbacks.ema import AveragedWeights
from callbacks.finite_checks import FiniteLoss
from callbacks.history import EpochLines, HistoryWriter, TimingWriter
from callbacks.out_of_memory import OutOfMemory
from callbacks.pruning import Pruning
from callbacks.signals import StopSignal
from callbacks.skipped_samples import SkippedSamples
from callbacks.step_seed import StepSeed
from entry.builders.modules import build
from entry.builders.training_network import frozen_encoder
from entry.hardware import Hardware
from lightning_modules.checkpoint_io import CheckpointFiles
from run_files import SearchFile, read_json
from run_folder import RunFolder
from settings.run import RunSettings

# About Lightning's own use of torch, and about choices that were made here: the loader resumes by itself, and what is
# logged is the same on every rank already; a loss scaler may skip the first step; a loader and its workers are kept.
KNOWN_WARNINGS = (".*LeafSpec.*", ".*smaller than the logging interval.*", ".*does not have many workers.*",
                  ".*your dataloader is not resumable.*", ".*recommended to use `self.log.*sync_dist=True.*",
                  ".*will duplicate the last batch.*", ".*callbacks used to create the checkpoint.*",
                  ".*call of `lr_scheduler.step.*", ".*`srun` command is available.*", ".*can lead to instability due to.*")  # fmt: skip


def build_trainer(
    settings: RunSettings,
    hardware: Hardware,
    folder: RunFolder,
    *,
    headline: str,
    loggers: Sequence[Logger] = (),
    signal: StopSignal | None = None,
    callbacks: Sequence[Callback] = (),
) -> lightning.Trainer:
    """The Trainer of a run.

    `headline` is the score by which the best checkpoint is chosen. `signal` receives the signals that stop training;
    without it, nothing is trained and nothing is written into the folder.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # entry.console prints what matters
    for known in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message=known)
    torch.set_num_threads(hardware.threads)
    trainer = settings.trainer
    bar = sys.stderr.isatty() if trainer.progress == "auto" else trainer.progress
    shown = [RichProgressBar(leave=True, console_kwargs={"stderr": True})] if bar else []
    trained = [] if signal is None else _training_callbacks(settings, hardware, folder, headline, signal, lines=not bar)
    several, strategy = hardware.ranks > 1, cast(Any, "auto")
    if several:
        from entry.builders.ddp import ddp_strategy

        strategy = ddp_strategy(trainer, hardware)
    return lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=strategy,
        sync_batchnorm=several and trainer.sync_batchnorm,
        precision=cast(Any, hardware.precision),
        max_epochs=trainer.max_epochs,
        deterministic=trainer.deterministic,
        limit_train_batches=trainer.limit_batches,
        limit_val_batches=trainer.limit_batches,
        limit_test_batches=trainer.limit_batches,
        accumulate_grad_batches=trainer.accumulate,
        gradient_clip_val=trainer.gradient_clip,
        logger=list(loggers) or False,
        callbacks=[*shown, *trained, *callbacks, OutOfMemory(trainer)],
        # Explicit: inside a SLURM job Lightning would take a single process for one of its tasks.
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


def _training_callbacks(
    settings: RunSettings, hardware: Hardware, folder: RunFolder, headline: str, signal: StopSignal, *, lines: bool
) -> list[Callback]:
    early, timing = settings.early_stopping, TimingWriter(folder.timing)
    if hardware.accelerator == "gpu":
        from callbacks.gpu_timing import GPUTimingWriter

        timing = GPUTimingWriter(folder.timing)
    callbacks: list[Callback] = [
        *([EpochLines(headline)] if lines else []),
        StepSeed(settings.seed),
        FiniteLoss(),
        signal,
        HistoryWriter(folder.history),
        timing,
        Checkpoints(folder.checkpoints, f"val/{headline}", signal, settings.checkpointing),
    ]
    if settings.data.on_corrupt == "skip":
        callbacks.append(SkippedSamples(folder.skipped))
    if settings.ema.decay is not None:
        callbacks.append(AveragedWeights(settings.ema.decay))
    search = (folder.sweep or folder.path) / "search.json"
    if search.exists() and folder.path.name.isdecimal() and read_json(search, SearchFile)["pruner"]:
        callbacks.append(Pruning(search.parent, int(folder.path.name), headline))
    if settings.model.freeze_epochs:
        callbacks.append(frozen_encoder(settings.model.freeze_epochs))
    if early.patience is not None:
        callbacks.append(EarlyStopping(early.patience, early.min_delta))
    return callbacks + [build(target, f"callbacks.{name}") for name, target in settings.callbacks.items()]
