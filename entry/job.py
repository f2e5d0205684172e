"""What the processes of a run do, be it one or many: all of them run these lines at the same time."""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch.distributed as dist
import yaml

from callbacks.signals import StopSignal
from entry import console
from entry.build import loggers
from entry.build.modules import build_trainer
from entry.evaluation.evaluate import evaluate_into
from entry.run import Run, assemble, assemble_foreign, first_weights
from run_folder import RunFolder


@dataclass(frozen=True)
class Job:
    """What a door asks for, in plain words, so that it can be sent to other processes.

    Args:
        kind: ``train``, ``evaluate``, or ``foreign`` to evaluate weights from elsewhere.
        folder: the run's.
        config: the configuration where it is not the one in the run's folder.
        resume_from: the checkpoint that training goes on from.
        checkpoint: which one is evaluated: best, last or a path; None: the weights from elsewhere.
        split: which split is evaluated.
    """

    kind: str
    folder: str
    config: dict[str, Any] | None = None
    resume_from: str | None = None
    checkpoint: str | None = "best"
    split: str = "test"

    @classmethod
    def training(cls, run: Run) -> Self:
        """Train a run, and evaluate its best checkpoint on the split that is reported."""
        resume_from = str(run.resume_from) if run.resume_from else None
        return cls("train", str(run.folder.path), resume_from=resume_from, split=run.datamodule.closing_split)

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From text."""
        return cls(**json.loads(text))


def carry_out(job: Job, signal: StopSignal, run: Run | None = None) -> None:
    """Do this process's part of a job; `run` where it has been built already."""
    run = run or _assembled(job)
    if job.kind == "train":
        _train(run, signal)
    evaluate_into(run, checkpoint=job.checkpoint, split=job.split, first=is_first())


def configuration(job: Job) -> dict[str, Any]:
    """The configuration that a job is done with."""
    return job.config or yaml.safe_load(RunFolder(Path(job.folder)).config.read_text(encoding="utf-8"))


def _assembled(job: Job) -> Run:
    folder, config = RunFolder.open(Path(job.folder)), configuration(job)
    if job.kind == "foreign":
        return assemble_foreign(folder, config, job.split)
    training, resumes = job.kind == "train", job.resume_from is not None
    weights = first_weights(folder) if training and not resumes else "none"
    resume_from = Path(job.resume_from) if job.resume_from else None
    return assemble(folder, config, weights, training=training, resume_from=resume_from, test_split=job.split)


def _train(run: Run, signal: StopSignal) -> None:
    # The first rank alone tells the mirror.
    mirror = loggers.opened(run.config, run.folder) if is_first() else contextlib.nullcontext()
    with mirror as logger:
        trainer = build_trainer(
            run.config, run.machine, run.folder, headline=run.module.headline, logger=logger, signal=signal
        )
        trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=run.resume_from)
    epochs, patience = run.config["trainer"]["max_epochs"], run.config["early_stopping"]["patience"]
    loss = trainer.callback_metrics.get("val/loss")  # none where it had ended before, and only the evaluation is left
    if is_first() and loss is not None and trainer.current_epoch < epochs:  # a signal's stop does not come this far
        console.ended_early(trainer.current_epoch, epochs, patience, loss.item())


def is_first() -> bool:
    """Whether this process writes what only one may write."""
    return not dist.is_initialized() or dist.get_rank() == 0
