"""A run with everything that was built for it, and the files that say what it was told and what it found."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datamodules.base import ImageDataModule
from datamodules.segmentation import SegmentationDataModule
from entry import hardware
from entry.build import loggers, modules
from entry.build.crosswalk import crosswalk_of, foreign_space
from entry.build.modules import Config
from entry.config.resolve import resolved, to_yaml
from entry.request import PROJECT, Request
from label_spaces.crosswalk import Crosswalk
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights.load import WeightsReport
from run_folder import RunFolder, free_name, read_json, write_json


@dataclass(frozen=True)
class Run:
    """A run folder and what was built from its configuration.

    Args:
        folder: where everything lies.
        config: the whole configuration.
        machine: what it computes with.
        datamodule: prepared.
        module: with its first weights.
        weights: where these come from.
        resume_from: the checkpoint that training goes on from, or None.
        crosswalk: from what the module says to what the data's truth is, where these are two label spaces.
    """

    folder: RunFolder
    config: Config
    machine: hardware.Hardware
    datamodule: ImageDataModule
    module: SupervisedModule
    weights: WeightsReport
    resume_from: Path | None = None
    crosswalk: Crosswalk | None = None


def assemble(
    folder: RunFolder,
    config: Config,
    weights: str,
    *,
    training: bool = True,
    resume_from: Path | None = None,
    test_split: str | None = None,
) -> Run:
    """Build what a configuration names, on any rank. Raises what speaks to the user where something does not fit.

    Args:
        folder: the run's; its split.csv, where there is one, is the split.
        config: the whole configuration.
        weights: as `model.weights`; ``none`` where a checkpoint follows.
        training: whether it will be trained, or only evaluated.
        resume_from: the checkpoint that training goes on from.
        test_split: the split that will be evaluated; None: the one that is reported.
    """
    machine = hardware.choose(config["trainer"])
    own_split = folder.split if folder.split.exists() else None
    datamodule = modules.build_datamodule(config, own_split, test_split=test_split)
    datamodule.prepare_training()
    module, report = modules.build_module(
        config,
        datamodule.label_space,
        weights,
        class_counts=datamodule.class_counts("train") if training else None,
        share=max(1, config["data"]["batch_size"] // (machine.ranks * config["trainer"]["accumulate"])),
        total_steps=modules.total_steps(config, datamodule),
    )
    if training:
        modules.check_batches(module, datamodule, machine.ranks)
        if config["report"].get("predictions") and isinstance(datamodule, SegmentationDataModule):
            datamodule.prediction_files(datamodule.closing_split)  # refused now, not when all is trained
    return Run(folder, config, machine, datamodule, module, report, resume_from)


def assemble_foreign(folder: RunFolder, config: Config, split: str | None = None) -> Run:
    """Build a model from elsewhere, whose own classes `crosswalk` maps to the data's. Raises what speaks to the user.

    Frames of a split without truth are there to be predicted.

    Args:
        folder: the run's; its split.csv, where there is one, is the split.
        config: the whole configuration.
        split: what will be evaluated; None: the split that is reported.
    """
    machine = hardware.choose(config["trainer"])
    own_split = folder.split if folder.split.exists() else None
    datamodule = modules.build_datamodule(config, own_split, test_split=split)
    # The weights come first: a dataset is not looked through for ones that cannot be had.
    source, target = foreign_space(config), datamodule.label_space
    crosswalk = crosswalk_of(config, source, target)
    said = target if crosswalk is None else source
    module, report = modules.build_module(config, said, config["model"]["weights"], truth=target)
    datamodule.find_samples()
    split = split or datamodule.closing_split
    assert isinstance(datamodule, SegmentationDataModule)
    only_predicted = datamodule.only_predict(split)
    datamodule.prepare_split(split)
    if only_predicted or config["report"]["predictions"]:
        datamodule.prediction_files(split)  # refused now, not when all is predicted
    return Run(folder, config, machine, datamodule, module, report, crosswalk=crosswalk)


@contextlib.contextmanager
def opened(request: Request) -> Iterator[Run]:
    """A new run; everything is checked and built before its folder is claimed: a refused request leaves none."""
    config = resolved(request)
    folder = RunFolder(request.folder if request.folder_was_typed else free_name(request.folder))
    run = assemble(folder, config, config["model"]["weights"])
    with claimed(folder, config, request, run.machine, run.datamodule, run.weights):
        yield run


@contextlib.contextmanager
def claimed(
    folder: RunFolder,
    config: Config,
    request: Request,
    machine: hardware.Hardware,
    datamodule: ImageDataModule,
    weights: WeightsReport,
) -> Iterator[None]:
    """Make a folder the run's own, write what was found before the start, and hold it inside."""
    folder.claim(to_yaml(config), request.overrides)
    with folder.in_use():
        write_start(folder, config, machine, datamodule, weights)
        yield


def first_weights(folder: RunFolder) -> str:
    """What the run's first weights were, for every rank and for a start that is repeated: found once, not looked for again."""
    return str(read_json(folder.environment)["weights"]["used"])


def write_start(
    folder: RunFolder,
    config: Config,
    machine: hardware.Hardware,
    datamodule: ImageDataModule,
    weights: WeightsReport,
) -> None:
    """split.csv and environment.json: what the run found before its first step."""
    datamodule.write_split(folder.split)
    write_json(
        folder.environment,
        {
            **hardware.environment(machine),
            "git_commit": _git_commit(),
            "weights": {"requested": weights.requested, "used": weights.used},
            "logger": loggers.description(config),
            "notes": datamodule.notes,
            "skipped": [{"sample": name, "reason": reason} for name, reason in datamodule.skipped],
        },
    )


def _git_commit() -> str | None:
    """The project's commit, or None outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
