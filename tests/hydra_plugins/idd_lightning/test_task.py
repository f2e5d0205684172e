"""What a task of a submitted job does, with short programs in place of trainings and a stand-in for scontrol."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hydra_plugins.idd_lightning._jobs import Record, Sweep
from run_files import read_csv

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run_task(tmp_path):
    """Run a program as a task does, in a process of its own; a line ``requeue JOB`` in `calls` for each call of scontrol."""
    calls, programs = tmp_path / "calls", tmp_path / "bin"
    programs.mkdir()
    (programs / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    (programs / "scontrol").chmod(0o755)

    def run(program, *, sweep=None, rank=0, variables=None):
        task = f"Task(('-c', {textwrap.dedent(program)!r}), {None if sweep is None else str(sweep)!r}, 3)"
        code = f"from hydra_plugins.idd_lightning._task import Task\n{task}()"
        environment = os.environ | {
            "SLURM_PROCID": str(rank),
            "SLURM_JOB_ID": "7",
            "PYTHONPATH": str(ROOT),
            **(variables or {}),
        }
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        answer = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return answer, calls.read_text().splitlines() if calls.exists() else []

    return run


@pytest.fixture
def sweep(tmp_path):
    sweep = Sweep(tmp_path / "2026" / "sweep")
    sweep.create([], "2026-01-01T00:00:00+00:00")
    sweep.keep(Record(3, ["x=3"], slurm_job="7", seconds=100.0))
    return sweep


STOPPED = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"


def record_of(sweep):
    return json.loads((sweep.path / "jobs" / "3.json").read_text())


@pytest.mark.parametrize(
    ("program", "state", "code"),
    [
        ("", "finished", 0),
        ("raise SystemExit(1)", "failed", 1),
        ("raise SystemExit(2)", "refused", 2),
        ("import os; os.kill(os.getpid(), 9)", "failed", 137),
    ],
)
def test_the_end_of_a_job_is_recorded(run_task, sweep, program, state, code):
    answer, calls = run_task(program, sweep=sweep.path)
    assert (answer.returncode, calls) == (code, []), answer.stderr
    record = record_of(sweep)
    assert (record["state"], record["exit_code"], record["attempts"]) == (state, code, 1)
    assert record["seconds"] > 100.0, "of all attempts"
    assert [(row["number"], row["state"]) for row in read_csv(sweep.path / "sweep.csv")] == [("3", state)]


def test_what_a_job_prints_is_in_its_log(run_task, sweep):
    run_task(
        "import os, sys; print(os.environ['WANDB_RUN_GROUP']); print('to stderr', file=sys.stderr)", sweep=sweep.path
    )
    assert sweep.log(3).read_text().splitlines() == ["2026/sweep", "to stderr"]


def test_a_job_that_was_stopped_before_its_time_was_over_is_requeued(run_task, sweep):
    answer, calls = run_task(STOPPED, sweep=sweep.path)
    assert (answer.returncode, calls) == (0, ["requeue 7"])
    assert record_of(sweep)["state"] == "waiting"
    run_task("", sweep=sweep.path)  # SLURM starts it again
    assert (record_of(sweep)["state"], record_of(sweep)["attempts"]) == ("finished", 2)


def test_a_job_of_an_array_and_a_single_run_are_requeued(run_task):
    assert run_task(STOPPED)[1] == ["requeue 7"]
    array = {"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}
    assert run_task(STOPPED, variables=array)[1] == ["requeue 7", "requeue 5_2"]


def test_only_the_first_task_records_and_requeues(run_task, sweep):
    answer, calls = run_task(STOPPED, sweep=sweep.path, rank=1)
    assert (answer.returncode, calls) == (0, [])
    assert record_of(sweep)["state"] == "waiting"
    assert record_of(sweep)["attempts"] == 0


def test_a_job_that_was_cancelled_is_not_requeued(run_task, sweep):
    program = "import os, signal; os.kill(os.getppid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM)"
    answer, calls = run_task(program, sweep=sweep.path)
    assert (answer.returncode, calls) == (128 + signal.SIGTERM, [])
    assert record_of(sweep)["state"] == "stopped"


def test_a_signal_to_all_processes_of_a_job_leaves_the_task_to_record_its_end(run_task, sweep):
    program = "import os, signal, time; signal.signal(12, lambda *_: os._exit(140)); os.kill(os.getppid(), 12); os.kill(os.getpid(), 12); time.sleep(9)"
    answer, calls = run_task(program, sweep=sweep.path)
    assert (answer.returncode, calls) == (0, ["requeue 7"])
