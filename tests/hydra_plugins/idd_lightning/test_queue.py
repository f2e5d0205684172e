"""Following SLURM's queue: a stand-in for squeue, and records as the jobs themselves write them."""

import json
import os
import signal
import threading

import pytest

from hydra_plugins.idd_lightning import _queue
from hydra_plugins.idd_lightning._jobs import Record, Sweep
from hydra_plugins.idd_lightning._queue import Queue, slurm_states
from run_files import read_csv
from tests.hydra_plugins.idd_lightning.test_pool import Given, Screen


class Cluster:
    """A queue of its own: each look moves every job on, waiting, running, gone; `ends` are the states of its records."""

    def __init__(self, sweep, ends):
        self.sweep, self.ends = sweep, ends
        self.stages, self.calls = {}, []

    def submit(self, jobs):
        self.calls.append([job.number for job in jobs])
        numbers = [f"{len(self.calls)}_{place}" for place in range(len(jobs))]
        self.stages |= {number: (job.number, 0) for number, job in zip(numbers, jobs, strict=True)}
        return numbers

    def states(self):
        found = {}
        for number, (job, stage) in self.stages.items():
            self.stages[number] = (job, stage + 1)
            record = Sweep.open(self.sweep.path).records[job]
            if stage == 1:
                record.state, record.attempts = "running", record.attempts + 1
                self.sweep.keep(record)
            if stage <= 2:
                found[number] = ("PENDING", "RUNNING")[stage] if stage < 2 else self.end(record)
        return found

    def end(self, record):
        """SLURM's state of a job that is over; most record their end themselves."""
        state = self.ends[record.number]
        state = state.pop(0) if isinstance(state, list) else state
        if state.isupper():
            return state
        record.state, record.exit_code = state, {"finished": 0, "failed": 1, "refused": 2}[state]
        self.sweep.keep(record)
        return "COMPLETED" if state == "finished" else "FAILED"


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(_queue, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(_queue, "POLL_SECONDS", 0.01)
    sweep = Sweep(tmp_path / "sweep")
    sweep.create([], "2026-01-01T00:00:00+00:00")
    return sweep


def run(sweep, monkeypatch, ends, **options):
    cluster, screen, source = Cluster(sweep, ends), Screen(), Given(len(ends))
    monkeypatch.setattr(_queue, "slurm_states", cluster.states)
    queue = Queue(sweep, lambda job: None, cluster.submit, screen, **{"at_once": None, **options})
    return queue.run(source), cluster, screen, source


def test_all_jobs_are_submitted_at_once_and_followed_to_their_end(sweep, monkeypatch):
    code, cluster, _, source = run(sweep, monkeypatch, ["finished", "refused", "failed"])
    assert cluster.calls == [[0, 1, 2]]
    assert source.ends == {0: "finished", 1: "refused", 2: "failed"}
    assert code == 1
    assert [row["state"] for row in read_csv(sweep.path / "sweep.csv")] == ["finished", "refused", "failed"]
    assert json.loads((sweep.path / "jobs" / "1.json").read_text())["slurm_job"] == "1_1"


def test_a_search_has_no_more_jobs_in_the_queue_than_it_may(sweep, monkeypatch):
    code, cluster, _, source = run(sweep, monkeypatch, ["finished"] * 5, at_once=2)
    assert code == 0
    assert cluster.calls[0] == [0, 1]
    assert [number for call in cluster.calls for number in call] == [0, 1, 2, 3, 4]
    assert max(map(len, cluster.calls)) == 2
    assert source.ends == dict.fromkeys(range(5), "finished")


def test_a_failed_job_is_submitted_again_as_often_as_retries_allow(sweep, monkeypatch):
    code, cluster, _, source = run(sweep, monkeypatch, [["failed", "failed", "finished"], ["failed"] * 9], retries=2)
    assert [number for call in cluster.calls for number in call].count(0) == 3
    assert [number for call in cluster.calls for number in call].count(1) == 3
    assert (code, source.ends) == (1, {0: "finished", 1: "failed"})


def test_a_job_that_slurm_ended_before_it_could_record_that(sweep, monkeypatch):
    code, _, screen, source = run(sweep, monkeypatch, ["OUT_OF_MEMORY", "CANCELLED", "TIMEOUT"])
    assert source.ends == {0: "failed", 1: "stopped", 2: "failed"}
    assert code == 1
    assert any("1_0 ended without a record of it: OUT_OF_MEMORY" in line for line in screen.lines)


def test_no_job_is_lost_while_the_controller_does_not_answer(sweep, monkeypatch):
    cluster, screen, source = Cluster(sweep, ["finished"]), Screen(), Given(1)
    answers = iter([None, None, None])
    monkeypatch.setattr(
        _queue, "slurm_states", lambda: next(answers, None) or (cluster.states() if not [*answers] else None)
    )
    assert Queue(sweep, lambda job: None, cluster.submit, screen, at_once=None).run(source) == 0
    assert cluster.calls == [[0]]


def test_a_job_that_is_in_the_queue_already_is_followed(sweep, monkeypatch):
    sweep.keep(Record(0, ["x=0"], hash="h0", state="running", slurm_job="9_0"))
    sweep.keep(Record(1, ["x=1"], hash="h1", state="finished", exit_code=0, slurm_job="9_1"))
    cluster, source = Cluster(sweep, ["finished", "finished"]), Given(2)
    cluster.stages = {"9_0": (0, 1)}
    monkeypatch.setattr(_queue, "slurm_states", cluster.states)
    assert Queue(sweep, lambda job: None, cluster.submit, Screen(), at_once=None).run(source) == 0
    assert cluster.calls == []
    assert source.ends == {0: "finished", 1: "finished"}


def test_submitted_only(sweep, monkeypatch):
    code, cluster, screen, source = run(sweep, monkeypatch, ["finished", "finished"], wait=False)
    assert (code, cluster.calls, source.ends) == (0, [[0, 1]], {})
    assert screen.lines[-2:] == [
        f"To follow them, or to go on: python train.py -m sweep.resume={sweep.path}",
        "To cancel them: scancel 1",
    ]
    assert [row["state"] for row in read_csv(sweep.path / "sweep.csv")] == ["waiting", "waiting"]


def test_after_a_signal_the_jobs_stay_in_the_queue(sweep, monkeypatch):
    cluster, screen = Cluster(sweep, ["finished"]), Screen()
    monkeypatch.setattr(_queue, "slurm_states", lambda: {"1_0": "PENDING"})
    monkeypatch.setattr(_queue, "POLL_SECONDS", 0.05)
    received = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        code = Queue(sweep, lambda job: None, cluster.submit, screen, at_once=None).run(Given(1))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, received) == (130, [signal.SIGINT])
    assert screen.lines[0].startswith("1 jobs are in SLURM's queue")


def test_what_squeue_prints(monkeypatch, tmp_path):
    program = tmp_path / "squeue"
    program.write_text('#!/bin/sh\n[ "$1" = --me ] && printf "12_0 RUNNING\\n12_1 PENDING\\n7 COMPLETED\\n"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert slurm_states() == {"12_0": "RUNNING", "12_1": "PENDING", "7": "COMPLETED"}
    program.write_text("#!/bin/sh\necho slurm_load_jobs error >&2\nexit 1\n")
    assert slurm_states() is None
