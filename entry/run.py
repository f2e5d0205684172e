"""A run: its folder, its settings and what is built from them; and its status, which is true at every moment."""

import contextlib
import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.nn.modules.batchnorm import _BatchNorm

from callbacks.signals import StopSignal
from datamodules.base import ImageDataModule
from datamodules.errors import shortened
from datamodules.segmentation import SegmentationDataModule
from datamodules.splits.sample_table import TABLE_SPLITS
from entry import hardware
from entry.builders import loggers
from entry.builders.crosswalk import crosswalk_of, difference, external_space, keep_space, own_space
from entry.builders.modules import build_datamodule, build_module, total_steps
from entry.checkpoint import Checkpoint, find_checkpoint, load
from entry.errors import RequestError, RunStopped, exit_code, shortage
from entry.hardware import Hardware
from entry.request import PROJECT, Request
from label_spaces.crosswalk import Crosswalk
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights.load import WeightsReport
from run_folder import RunFolder, Status, free_name, read_csv, read_json, write_csv, write_json
from settings.run import RunSettings

FILES = ("sample", "image", "truth")  # the columns of files.csv: hashes of a sample's files


@dataclass(frozen=True)
class Run:
    """A run folder and what was built from its settings.

    Args:
        machine: accelerator, devices, precision and threads.
        datamodule: prepared.
        weights: where the module's first weights come from.
        checkpoint: the one whose weights the module has, if any.
        resume_from: the checkpoint that training resumes from.
        crosswalk: from the module's label space to the data's, where these differ.
        allow: packages of the user's own that the settings may name.
    """

    folder: RunFolder
    settings: RunSettings
    machine: Hardware
    datamodule: ImageDataModule
    module: SupervisedModule
    weights: WeightsReport
    checkpoint: Checkpoint | None = None
    resume_from: Path | None = None
    crosswalk: Crosswalk | None = None
    allow: tuple[str, ...] = ()


def assemble(
    folder: RunFolder, settings: RunSettings, weights: str, resume_from: Path | None = None, allow: tuple[str, ...] = ()
) -> Run:
    """Build what a training needs, on any rank. Raises a request error where something does not fit.

    The folder's split.csv, where there is one, is the split; `weights` is as `model.weights`, ``none`` where a checkpoint follows.
    """
    machine = hardware.choose(settings.trainer)
    datamodule = build_datamodule(settings, _split_file(folder), label_space=own_space(folder, settings.data))
    datamodule.prepare_training()
    module, report = build_module(
        settings,
        datamodule.label_space,
        weights,
        class_counts=datamodule.class_counts("train"),
        share=max(1, settings.data.batch_size // (machine.ranks * settings.trainer.accumulate)),
        total_steps=total_steps(settings, datamodule),
    )
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


def assemble_trained(
    folder: RunFolder, settings: RunSettings, checkpoint: str, split: str | None, allow: tuple[str, ...] = ()
) -> Run:
    """Build a run with the weights of a checkpoint, for the evaluation of a split (None: the reported one), on any rank."""
    machine = hardware.choose(settings.trainer)
    own = own_space(folder, settings.data)
    datamodule = build_datamodule(settings, _split_file(folder), test_split=split, label_space=own)
    datamodule.find_samples()
    if isinstance(datamodule, SegmentationDataModule):
        datamodule.only_predict(datamodule.test_split)  # where it has no truth
    datamodule.prepare_split(datamodule.test_split)
    module, report = build_module(settings, datamodule.label_space, "none")
    found = find_checkpoint(folder, checkpoint)
    load(module, found)
    return Run(folder, settings, machine, datamodule, module, report, found, allow=allow)


def assemble_external(folder: RunFolder, settings: RunSettings, split: str | None, allow: tuple[str, ...] = ()) -> Run:
    """Build a model with external weights, whose own classes a crosswalk maps to the data's, on any rank.

    Frames of a split without truth are only predicted. Raises a request error where something does not fit.
    """
    machine = hardware.choose(settings.trainer)
    own = own_space(folder, settings.data)
    datamodule = build_datamodule(settings, _split_file(folder), test_split=split, label_space=own)
    # The weights come first: a dataset is not searched for weights that cannot be had.
    target = datamodule.label_space
    source = external_space(settings, target)
    crosswalk = crosswalk_of(settings, source, target)
    predicted = target if crosswalk is None else source
    module, report = build_module(settings, predicted, settings.model.weights, truth=target)
    datamodule.find_samples()
    assert isinstance(datamodule, SegmentationDataModule)
    only_predicted = datamodule.only_predict(datamodule.test_split)
    datamodule.prepare_split(datamodule.test_split)
    if only_predicted or settings.report.predictions:
        datamodule.prediction_files(datamodule.test_split)  # refused now, not after the predictions
    return Run(folder, settings, machine, datamodule, module, report, crosswalk=crosswalk, allow=allow)


def _split_file(folder: RunFolder) -> Path | None:
    return folder.split if folder.split.exists() else None


@contextlib.contextmanager
def opened(request: Request, settings: RunSettings) -> Iterator[tuple[Run, StopSignal]]:
    """A new run, and what receives its signals; all is checked and built before its folder is claimed: a refused request leaves none."""
    loggers.kinds_of(settings)  # refused now, where the environment is wrong
    folder = RunFolder(request.folder if request.folder_was_typed else free_name(request.folder))
    run = assemble(folder, settings, settings.model.weights, allow=request.allow)
    with claimed(folder, settings, request, run.machine, run.datamodule, run.weights) as signal:
        yield run, signal


@contextlib.contextmanager
def claimed(
    folder: RunFolder,
    settings: RunSettings,
    request: Request,
    machine: Hardware,
    datamodule: ImageDataModule,
    weights: WeightsReport,
) -> Iterator[StopSignal]:
    """Make a folder the run's own, write what was found before the start, and hold it inside, with a status that is true."""
    folder.claim(settings.to_yaml(), request.overrides)
    with folder.in_use(), session(folder.status_file()) as signal:
        write_start(folder, settings, machine, datamodule, weights)
        yield signal


def first_weights(folder: RunFolder) -> str:
    """The run's first weights, for every rank and for a start that is repeated: found once, not searched again."""
    return str(read_json(folder.environment)["weights"]["used"])


def write_start(
    folder: RunFolder, settings: RunSettings, machine: Hardware, datamodule: ImageDataModule, weights: WeightsReport
) -> None:
    """Write split.csv, files.csv, label_space.json and environment.json: what the run found before its first step."""
    datamodule.write_split(folder.split)
    if contents := datamodule.contents:
        samples = [name for name in datamodule.names if name in contents]
        write_csv(folder.files, [dict(zip(FILES, (name, *contents[name]), strict=True)) for name in samples], FILES)
    if isinstance(datamodule, SegmentationDataModule):
        keep_space(folder, datamodule)
    write_json(
        folder.environment,
        {
            **hardware.environment(machine),
            "git_commit": _git_commit(),
            "weights": {
                "requested": weights.requested,
                "used": weights.used,
                **({"sha256": found} if (found := digest(weights.used)) else {}),
            },
            **loggers.description(settings),
            "notes": datamodule.notes,
            "skipped": [{"sample": name, "reason": reason} for name, reason in datamodule.skipped],
        },
    )


def differences(folder: RunFolder, datamodule: ImageDataModule, splits: Sequence[str] = TABLE_SPLITS) -> list[str]:
    """What is not as it was when a run was made: the label space of its masks, and the files of some of its splits."""
    found = difference(folder, datamodule) if isinstance(datamodule, SegmentationDataModule) else None
    notes = [found[0]] if found else []
    before = {row["sample"]: row for row in read_csv(folder.files)} if folder.files.exists() else {}
    changed = []
    for sample in datamodule.table.samples:
        row, now = before.get(sample.name), datamodule.contents.get(sample.name)
        if row and now and sample.split in splits:
            kinds = [kind for kind, digest in zip(FILES[1:], now, strict=True) if row[kind] != digest]
            changed += [f"{sample.name} ({' and '.join(kinds)})"] if kinds else []
    if changed:
        notes.append(
            f"{len(changed)} samples have other files than when the run was made: {shortened(changed)}. Scores may differ."
        )
    return notes


def digest(weights: str) -> str | None:
    """The SHA-256 of a file of weights; None where they have a name instead."""
    if not Path(weights).is_file():
        return None
    with Path(weights).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_commit() -> str | None:
    """The project's commit, or None outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, encoding="utf-8", check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


@contextlib.contextmanager
def session(status: Status) -> Iterator[StopSignal]:
    """Keep a status file true while something runs, also after an exception, and yield the callback that receives signals."""
    signal = StopSignal()
    status.start()
    state, code, message = "finished", 0, None
    try:
        with signal.listening():
            yield signal
    except BaseException as error:
        state, code = "stopped" if isinstance(error, RunStopped) else "failed", exit_code(error)
        message = str(error) if state == "stopped" else shortage(error) or f"{type(error).__name__}: {error}"
        raise
    finally:
        status.finish(state, code, message)
