"""What each task of a submitted SLURM job runs: a command of ours in a process of its own, whose end the first task records."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hydra_plugins.idd_lightning._jobs import Record, Sweep, locked
from run_folder import now

TIME_LIMIT = signal.SIGUSR2  # what SLURM sends before a job's time is over; NCCL may use SIGUSR1
REQUEUE_SECONDS = 120.0  # in which the controller, which may be restarting, has to answer
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class Task:
    """Arguments of Python, called by submitit in each task of a job; of a sweep's job with the sweep's folder and the job's number.

    Signals reach the command itself, as SLURM sends them to every process of a job. One that was stopped before its time was over
    is requeued: it begins again as the same job, and resume=auto lets it go on.
    """

    arguments: tuple[str, ...]
    sweep: str | None = None
    number: int = 0

    def __call__(self) -> None:
        """Run the command. Raises SystemExit with its exit code."""
        received: list[int] = []
        for number in (TIME_LIMIT, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: received.append(number))
        first = os.environ["SLURM_PROCID"] == "0"
        sweep = None if self.sweep is None else Sweep.open(Path(self.sweep))
        record = self._begin(sweep) if first and sweep is not None else None
        began, before = time.monotonic(), (record and record.seconds) or 0.0
        code = self._run(sweep)
        requeued = code == 128 + TIME_LIMIT
        if sweep is not None and record is not None:
            with locked(sweep.path / "jobs"):
                sweep.end(record, code, before + time.monotonic() - began, stopped=bool(received))
                if requeued:
                    record.state = "waiting"
                    sweep.keep(record)
            sweep.write_table()
        if requeued and first:
            _requeue()
        sys.exit(0 if requeued else code)

    def _run(self, sweep: Sweep | None) -> int:
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_RUN_ID"}
        environment["PYTHONUNBUFFERED"] = "1"
        command = [sys.executable, *self.arguments]
        if sweep is None:
            code = subprocess.call(command, env=environment)  # noqa: S603
        else:
            environment.setdefault("WANDB_RUN_GROUP", sweep.group)
            with sweep.log(self.number).open("ab") as log:
                code = subprocess.call(command, env=environment, stdout=log, stderr=log)  # noqa: S603
        return 128 - code if code < 0 else code

    def _begin(self, sweep: Sweep) -> Record:
        """Record that the job runs. The one that submitted it holds the lock until it has recorded the job's number."""
        with locked(sweep.path / "jobs"):
            sweep.refresh_one(self.number)
            record = sweep.records[self.number]
            record.state, record.exit_code, record.started = "running", None, now()
            record.attempts += 1
            sweep.keep(record)
        sweep.write_table()
        return record


def _requeue() -> None:
    """Put this job back into the queue; SLURM then ends what is left of it. Raises CalledProcessError."""
    found = os.environ
    job = (
        f"{found['SLURM_ARRAY_JOB_ID']}_{found['SLURM_ARRAY_TASK_ID']}"
        if "SLURM_ARRAY_JOB_ID" in found
        else found["SLURM_JOB_ID"]
    )
    until = time.monotonic() + REQUEUE_SECONDS
    while (answer := subprocess.run(["scontrol", "requeue", job], check=False)).returncode:  # noqa: S603
        if time.monotonic() > until:
            answer.check_returncode()
        time.sleep(RETRY_SECONDS)
