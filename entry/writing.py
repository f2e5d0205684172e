"""Which of a run's files are written when."""

import subprocess
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from datamodules.base import ImageDataModule
from entry.build import Config, build_trainer
from entry.door import PROJECT, Request
from entry.evaluation import collect, evaluate, find_checkpoint, load
from entry.hardware import Hardware, environment
from entry.loggers import describe
from entry.request import to_yaml
from entry.session import session
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights import WeightsReport
from reports.evaluation import scores_of, write_tables
from reports.figures import write_figures
from run_folder import RunFolder, Status, free_name, read_csv, replace_folder, write_json, write_text


def claim(request: Request, config: Config) -> RunFolder:
    """The folder of a new run, with config.yaml and overrides.txt in it. A default name that is taken gets a suffix."""
    folder = RunFolder(request.folder if request.folder_was_typed else free_name(request.folder))
    folder.claim(to_yaml(config), request.overrides)
    return folder


def write_start(
    folder: RunFolder, datamodule: ImageDataModule, weights: WeightsReport, machine: Hardware, logger: Logger | None
) -> None:
    """split.csv and environment.json: what the run found before its first step."""
    datamodule.table.write_csv(folder.split)
    write_json(
        folder.environment,
        {
            **environment(machine),
            "git_commit": _git_commit(),
            "weights": {"requested": weights.requested, "used": weights.used},
            "logger": describe(logger),
            "notes": datamodule.notes,
            "skipped": [{"sample": name, "reason": reason} for name, reason in datamodule.skipped],
        },
    )


def evaluate_into(
    folder: RunFolder,
    config: Config,
    machine: Hardware,
    module: SupervisedModule,
    datamodule: ImageDataModule,
    *,
    checkpoint: str,
    split: str,
) -> dict[str, Any]:
    """Evaluate a checkpoint on a split and put everything into evaluation/<split>, which is replaced as a whole."""
    found = find_checkpoint(folder, checkpoint)
    load(module, found)
    scores: dict[str, Any] = {}

    def fill(target: Path) -> None:
        write_text(target / "config.yaml", to_yaml(config))
        with session(Status(target / "status.json")):
            trainer = build_trainer(config, machine, folder, headline=module.headline)
            evaluation = collect(config, folder, found, datamodule, split, evaluate(trainer, module, datamodule, split))
            scores.update(scores_of(evaluation))
            write_tables(target, evaluation, scores)
            history = read_csv(folder.history) if folder.history.exists() else []
            write_figures(
                target / "figures",
                evaluation.facts["confusion"],
                evaluation.label_space.classes,
                split,
                history,
                datamodule.counts(),
            )

    replace_folder(folder.evaluation(split), fill)
    return scores


def _git_commit() -> str | None:
    """The project's commit, or None outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
