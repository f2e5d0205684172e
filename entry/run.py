"""A run: its folder, its settings and what is built from them; and its status, which is true at every moment."""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.nn.modules.batchnorm import _BatchNorm

from callbacks.signals import StopSignal
from datamodules.base import ImageDataModule
from datamodules.errors import DatasetError, UnreadableError
from datamodules.segmentation import SegmentationDataModule
from entry import hardware
from entry.builders import loggers
from entry.builders.crosswalk import keep_space, own_space
from entry.builders.modules import build_datamodule, build_module, total_steps
from entry.checkpoint import Checkpoint
from entry.config.changes import normalised
from entry.errors import RequestError, RunStopped, exit_code, shortage
from entry.hardware import Hardware
from entry.request import PROJECT, Request
from label_spaces.crosswalk import Crosswalk
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights.load import WeightsReport
from run_files import Environment, read_json
from run_folder import RunFolder, Status, free_name, write_csv, write_json
from settings.run import RunSettings

FILES = ("sample", "image", "truth")  # the columns of files.csv: hashes of a sample's files


@dataclass(frozen=True)
class Run:
    """A run folder and what was built from its settings."""

    folder: RunFolder
    settings: RunSettings
    machine: Hardware
    datamodule: ImageDataModule  # prepared
    module: SupervisedModule
    weights: WeightsReport  # where the module's first weights come from
    checkpoint: Checkpoint | None = None  # the one whose weights the module has, if any
    resume_from: Path | None = None  # the checkpoint that training resumes from
    crosswalk: Crosswalk | None = None  # from the module's label space to the data's, where these differ
    allow: tuple[str, ...] = ()  # packages of the user's own that the settings may name

    @property
    def is_evaluated(self) -> bool:
        """Whether a closing evaluation follows the training: the jobs of a sweep are ranked by their validation scores alone."""
        return self.folder.sweep is None or self.settings.sweep.evaluate == "all"

    @property
    def facts(self) -> dict[str, Any]:
        """What environment.json has of the model: the score by which the best checkpoint is chosen, and the number of parameters."""
        count = sum(parameter.numel() for parameter in self.module.network.parameters())
        return {"headline": self.module.headline, "parameters": count}


def assemble(
    folder: RunFolder, settings: RunSettings, weights: str, resume_from: Path | None = None, allow: tuple[str, ...] = ()
) -> Run:
    """Build what a training needs, on any rank. Raises a request error where something does not fit.

    The folder's split.csv, where there is one, is the split; `weights` is as `model.weights`, ``none`` where a checkpoint follows.
    """
    machine = hardware.choose(settings.trainer)
    datamodule = datamodule_of(folder, settings)
    datamodule.prepare_training()
    if settings.trainer.max_steps is not None:
        from entry.builders.length import in_epochs

        settings = in_epochs(settings, datamodule)
    module, report = build_module(
        settings,
        datamodule.label_space,
        weights,
        class_counts=datamodule.class_counts("train"),
        share=max(1, settings.data.batch_size // (machine.ranks * settings.trainer.accumulate)),
        total_steps=total_steps(settings, datamodule),
        precision=machine.precision,
    )
    if report.normalisation is not None:
        settings = normalised(settings, *report.normalisation)
    check_batches(module, datamodule, machine.ranks)
    if settings.report.predictions and isinstance(datamodule, SegmentationDataModule):
        datamodule.prediction_files(datamodule.closing_split)  # refused now, not after the training
    return Run(folder, settings, machine, datamodule, module, report, resume_from=resume_from, allow=allow)


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
        enough = max(2 * parts, size)  # a larger size would not help a single sample
        raise RequestError(
            f"data.batch_size={size} leaves a batch of one sample{among} ({count} training samples), from which BatchNorm "
            f"cannot learn. Type two or more for each batch, such as data.batch_size={enough}"
            f"{', and add training samples' if count < 2 else ''}."
        )


def datamodule_of(folder: RunFolder, settings: RunSettings, test_split: str | None = None) -> ImageDataModule:
    """The data module of a run, not prepared: with the split and, for masks, the label space that its folder keeps, where it does."""
    split = folder.split if folder.split.exists() else None
    space = own_space(folder, settings.data) if settings.model.task == "segmentation" else None
    return build_datamodule(settings, split, test_split=test_split, label_space=space)


@contextlib.contextmanager
def opened(request: Request, settings: RunSettings) -> Iterator[tuple[Run, StopSignal]]:
    """A new run, and what receives its signals; all is checked and built before its folder is claimed: a refused request leaves none."""
    loggers.kinds_of(settings)  # refused now, where the environment is wrong
    folder = RunFolder(request.folder if request.folder_was_typed else free_name(request.folder))
    run = assemble(folder, settings, settings.model.weights, allow=request.allow)
    with claimed(folder, run.settings, request, run.machine, run.datamodule, run.weights, run.facts) as signal:
        yield run, signal


@contextlib.contextmanager
def claimed(
    folder: RunFolder,
    settings: RunSettings,
    request: Request,
    machine: Hardware,
    datamodule: ImageDataModule,
    weights: WeightsReport,
    facts: Mapping[str, Any] | None = None,
) -> Iterator[StopSignal]:
    """Make a folder the run's own, write what was found before the start, and hold it inside, with a status that is true."""
    folder.claim(settings.to_yaml(), request.overrides)
    with folder.in_use(), session(Status(folder.status, **batch_job())) as signal:
        write_start(folder, settings, machine, datamodule, weights, facts or {})
        yield signal


def first_weights(folder: RunFolder) -> str:
    """The run's first weights, for every rank and for a start that is repeated: found once, not searched again."""
    return str(read_json(folder.environment, Environment)["weights"]["used"])


def write_start(
    folder: RunFolder,
    settings: RunSettings,
    machine: Hardware,
    datamodule: ImageDataModule,
    weights: WeightsReport,
    facts: Mapping[str, Any],
) -> None:
    """Write split.csv, files.csv, label_space.json and environment.json with further `facts`: what the run found before its first step."""
    datamodule.write_split(folder.split)
    if contents := datamodule.contents:
        samples = [name for name in datamodule.names if name in contents]
        write_csv(folder.files, [dict(zip(FILES, (name, *contents[name]), strict=True)) for name in samples], FILES)
    if isinstance(datamodule, SegmentationDataModule):
        keep_space(folder, datamodule)
    found = digest(weights.used)
    write_json(
        folder.environment,
        {
            **hardware.environment(machine),
            "git_commit": git_commit(),
            "weights": {"requested": weights.requested, "used": weights.used, **({"sha256": found} if found else {})},
            **facts,
            **loggers.description(settings),
            "notes": datamodule.notes,
            "skipped": [{"sample": name, "reason": reason} for name, reason in datamodule.skipped],
        },
    )


def digest(weights: str) -> str | None:
    """The SHA-256 of a file of weights; None where they have a name instead."""
    if not Path(weights).is_file():
        return None
    with Path(weights).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_commit() -> str | None:
    """The project's commit, or None outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, encoding="utf-8", check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def batch_job() -> dict[str, Any]:
    """What status.json has of the SLURM job that this process belongs to: its number, and how often it was requeued; else nothing."""
    if (number := os.environ.get("SLURM_JOB_ID")) is None:
        return {}
    return {"slurm_job": number, "requeues": int(os.environ.get("SLURM_RESTART_COUNT", "0"))}


@contextlib.contextmanager
def session(status: Status) -> Iterator[StopSignal]:
    """Keep a status file true while something runs, also after an exception, and yield the callback that receives signals."""
    signal = StopSignal()
    status.start()
    state, code, message = "finished", 0, None
    try:
        with signal.listening():
            yield signal
    except BaseException as raised:
        # The data was checked before: what does not fit any more is no wrong request.
        error = UnreadableError(str(raised)) if isinstance(raised, DatasetError) else raised
        state, code = error.state if isinstance(error, RunStopped) else "failed", exit_code(error)
        message = str(error) if state != "failed" else shortage(error) or f"{type(error).__name__}: {error}"
        if error is not raised:
            raise error from raised
        raise
    finally:
        status.finish(state, code, message)
