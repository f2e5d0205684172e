"""What the processes of a run do, be it one or many: all of them execute these lines at the same time."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch.distributed as dist
from lightning.pytorch.loggers import Logger

from callbacks.signals import StopSignal
from entry.builders import loggers, open_loggers
from entry.builders.trainer import build_trainer
from entry.checkpoint import find_checkpoint, load
from entry.config.run_config import read_settings
from entry.config.targets import check_targets
from entry.evaluation.evaluate import evaluate_model
from entry.evaluation.logged import log_evaluation
from entry.run import Run
from run_folder import RunFolder
from settings.run import RunSettings, validated


@dataclass(frozen=True)
class Job:
    """What a command wants done, as plain data that can be sent to other processes."""

    kind: str  # train, evaluate, or external to evaluate external weights
    folder: str  # the run's
    overridden: dict[str, Any] | None = None  # the settings as plain data, where they are not the folder's
    resume_from: str | None = None  # the checkpoint that training resumes from
    checkpoint: str = "best"  # the one that is evaluated: best, last or a path
    split: str | None = None  # the one that is evaluated
    allow: tuple[str, ...] = ()  # packages of the user's own that the settings may name

    @classmethod
    def training(cls, run: Run) -> Self:
        """Train a run, and evaluate its best checkpoint on the split that is reported."""
        resume_from = str(run.resume_from) if run.resume_from else None
        return cls("train", str(run.folder.path), resume_from=resume_from, allow=run.allow)

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From text."""
        fields = json.loads(text)
        return cls(**{**fields, "allow": tuple(fields["allow"])})

    def settings(self) -> RunSettings:
        """The settings that it is done with."""
        if self.overridden is None:
            return read_settings(RunFolder.open(Path(self.folder)), self.allow)
        settings = validated(RunSettings, self.overridden)
        check_targets(settings, self.allow)
        return settings


def carry_out(job: Job, signal: StopSignal, run: Run) -> None:
    """Do this process's part of a job."""
    if job.kind != "train":
        evaluate_model(run, first=is_first())
        return
    opened: contextlib.AbstractContextManager[Sequence[Logger]] = contextlib.nullcontext(())
    if is_first() and loggers.kinds_of(run.settings) != ("csv",):  # only the first rank writes to the loggers
        opened = open_loggers.opened(run.settings, run.folder)
    with opened as found:
        _train(run, signal, found)
        if not run.is_evaluated:
            return
        best = find_checkpoint(run.folder, job.checkpoint)
        load(run.module, best)
        shown = evaluate_model(replace(run, checkpoint=best), first=is_first())
        log_evaluation(found, run, shown)


def _train(run: Run, signal: StopSignal, found: Sequence[Logger]) -> None:
    trainer = build_trainer(
        run.settings, run.machine, run.folder, headline=run.module.headline, loggers=found, signal=signal
    )
    trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=run.resume_from)


def is_first() -> bool:
    """Whether this process writes what only one may write."""
    return not dist.is_initialized() or dist.get_rank() == 0
