"""A run with everything that was built for it, and the files that say what it was told and what it found."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.base import ImageDataModule
from datamodules.segmentation import SegmentationDataModule
from entry import build, hardware, loggers
from entry.build import Config
from entry.door import PROJECT, Request
from entry.request import resolved, to_yaml
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights import WeightsReport
from run_folder import RunFolder, free_name, write_json


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
    """

    folder: RunFolder
    config: Config
    machine: hardware.Hardware
    datamodule: ImageDataModule
    module: SupervisedModule
    weights: WeightsReport
    resume_from: Path | None = None


def assemble(
    folder: RunFolder, config: Config, weights: str, *, training: bool = True, resume_from: Path | None = None
) -> Run:
    """Build what a configuration names, on any rank. Raises what speaks to the user where something does not fit.

    Args:
        folder: the run's; its split.csv, where there is one, is the split.
        config: the whole configuration.
        weights: as `model.weights`; ``none`` where a checkpoint follows.
        training: whether it will be trained, or only evaluated.
        resume_from: the checkpoint that training goes on from.
    """
    machine = hardware.choose(config["trainer"])
    datamodule = build.build_datamodule(config, folder.split if folder.split.exists() else None)
    datamodule.prepare()
    module, report = build.build_module(
        config,
        datamodule.label_space,
        weights,
        class_counts=datamodule.class_counts("train") if training else None,
        share=max(1, config["data"]["batch_size"] // (machine.ranks * config["trainer"]["accumulate"])),
        total_steps=build.total_steps(config, datamodule),
    )
    if training:
        build.check_batches(module, datamodule, machine.ranks)
        if config["report"].get("predictions") and isinstance(datamodule, SegmentationDataModule):
            datamodule.prediction_files(datamodule.closing_split)  # refused now, not when all is trained
    return Run(folder, config, machine, datamodule, module, report, resume_from)


@contextlib.contextmanager
def opened(request: Request) -> Iterator[Run]:
    """A new run; everything is checked and built before its folder is claimed: a refused request leaves none."""
    config = resolved(request)
    folder = RunFolder(request.folder if request.folder_was_typed else free_name(request.folder))
    run = assemble(folder, config, config["model"]["weights"])
    folder.claim(to_yaml(config), request.overrides)
    with folder.in_use():
        write_start(run)
        yield run


def first_weights(folder: RunFolder) -> str:
    """What the run's first weights were, for every rank and for a start that is repeated: found once, not looked for again."""
    return str(json.loads(folder.environment.read_text(encoding="utf-8"))["weights"]["used"])


def write_start(run: Run) -> None:
    """split.csv and environment.json: what the run found before its first step."""
    run.datamodule.table.write_csv(run.folder.split)
    write_json(run.folder.environment, _environment(run))


def _environment(run: Run) -> dict[str, Any]:
    return {
        **hardware.environment(run.machine),
        "git_commit": _git_commit(),
        "weights": {"requested": run.weights.requested, "used": run.weights.used},
        "logger": loggers.description(run.config),
        "notes": run.datamodule.notes,
        "skipped": [{"sample": name, "reason": reason} for name, reason in run.datamodule.skipped],
    }


def _git_commit() -> str | None:
    """The project's commit, or None outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
