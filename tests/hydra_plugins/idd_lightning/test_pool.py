"""The processes of a sweep, with short programs in place of trainings."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hydra_plugins.idd_lightning._jobs import Job, Record, Sweep
from hydra_plugins.idd_lightning._pool import Pool
from hydra_plugins.idd_lightning._slots import Slot, slots_of
from run_files import read_csv

ROOT = Path(__file__).resolve().parents[3]


class Given:
    """A source of jobs that are known from the beginning."""

    varied = ("x",)

    def __init__(self, count, hashes=None):
        self.total = count
        self.jobs = [Job(number, (f"x={number}",), hash=f"h{number}") for number in range(count)]
        self.ends = {}

    def next(self):
        return self.jobs.pop(0) if self.jobs else None

    def waiting(self):
        return self.jobs

    def ended(self, job, record):
        assert job.number not in self.ends
        self.ends[job.number] = record.state


class Screen:
    def __init__(self):
        self.lines, self.seen = [], 0

    def started(self, record):
        self.lines.append(f"start {record.number}")

    def ended(self, record, reason):
        self.lines.append(f"{record.state} {record.number} {reason}".strip())

    def note(self, text):
        self.lines.append(text)

    def update(self, running, waiting):
        self.seen = max(self.seen, len(running))


RUN = """
import json, os, signal, sys, time
from pathlib import Path
number, folder = int(sys.argv[1]), Path(sys.argv[2])
def made(state, score=0.5):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("seed: 0\\n")
    (folder / "environment.json").write_text(json.dumps({"headline": "miou", "parameters": 9}))
    (folder / "history.csv").write_text(f"epoch,val/miou,val/loss\\n0,{score},1\\n1,{score - 0.1},0.9\\n")
    # The last, and whole at any moment, as a run writes it: a kill may come at any line.
    (folder / "status.tmp").write_text(json.dumps({"state": state}))
    (folder / "status.tmp").replace(folder / "status.json")
"""


def programs(sweep, bodies):
    """What to run for each job: its part of a program, by number."""

    def command(job):
        body = bodies.get(job.number, "made('finished')")
        return [sys.executable, "-c", RUN + textwrap.dedent(body), str(job.number), str(sweep.folder(job.number))]

    return command


@pytest.fixture
def sweep(tmp_path):
    made = Sweep(tmp_path / "sweep")
    made.create(["x=1"], "2026-01-01T00:00:00+00:00")
    return made


def run(sweep, count, bodies, slots=2, source=None, **options):
    source, screen = source or Given(count), Screen()
    pool = Pool(sweep, slots_of(slots, 1, []), lambda job: None, programs(sweep, bodies), screen, **options)
    return pool.run(source), source, screen


def states(sweep):
    return {int(row["number"]): row["state"] for row in read_csv(sweep.path / "sweep.csv")}


def test_each_job_runs_once_at_most_as_many_at_once_as_there_are_slots(sweep):
    code, source, screen = run(
        sweep, 5, dict.fromkeys(range(5), "time.sleep(0.3); made('finished', 0.5 + number / 10)")
    )
    assert (code, screen.seen) == (0, 2)
    assert source.ends == dict.fromkeys(range(5), "finished")
    rows = read_csv(sweep.path / "sweep.csv")
    assert list(rows[0]) == ["number", "overrides", "state", "exit_code", "seconds", "epochs", "val/loss", "val/miou", "folder"]  # fmt: skip
    assert [(row["val/miou"], row["val/loss"], row["epochs"]) for row in rows] == [
        (str(0.5 + n / 10), "1.0", "2") for n in range(5)
    ]
    assert sweep.best().number == 4


def test_a_sweep_in_which_jobs_fail_are_killed_and_refused_goes_on(sweep):
    bodies = {
        1: "made('failed'); print('reading'); raise RuntimeError('the disk is gone')",
        2: "made('running'); os.kill(os.getpid(), signal.SIGKILL)",
        3: "made('failed'); print('train/loss is nan'); sys.exit(1)",
        4: "print('optimizer.lr=-1: must be above 0', file=sys.stderr); sys.exit(2)",
        5: "made('pruned')",
    }
    code, source, screen = run(sweep, 12, bodies)
    expected = {1: "failed", 2: "failed", 3: "failed", 4: "refused", 5: "pruned"}
    assert code == 1
    assert states(sweep) == source.ends == {n: expected.get(n, "finished") for n in range(12)}
    assert [row["exit_code"] for row in read_csv(sweep.path / "sweep.csv")][:6] == ["0", "1", "137", "1", "2", "0"]
    text = "\n".join(screen.lines)
    assert "RuntimeError: the disk is gone" in text
    assert "refused 4 optimizer.lr=-1: must be above 0" in text
    # Again: what is finished, pruned or failed stays; what was refused is tried again.
    before = {n: (sweep.path / "jobs" / f"{n}.json").read_bytes() for n in range(12)}
    code, source, screen = run(Sweep.open(sweep.path), 12, {4: bodies[4]})
    assert (code, [line for line in screen.lines if "start" in line]) == (1, ["start 4"])
    assert {n for n in range(12) if (sweep.path / "jobs" / f"{n}.json").read_bytes() != before[n]} == {4}
    # Failed ones once more where that is asked for.
    code, source, screen = run(Sweep.open(sweep.path), 12, {}, retries=1)
    assert (code, sorted(source.ends.values())) == (0, ["finished"] * 11 + ["pruned"])


def test_only_refused_jobs_give_the_code_of_a_refusal(sweep):
    assert run(sweep, 3, {1: "sys.exit(2)"})[0] == 2


def test_a_failed_job_is_retried_and_then_left(sweep):
    bodies = {
        0: "made('failed'); file = folder / 'tries'; n = len(file.read_text()) if file.exists() else 0; file.write_text('x' * (n + 1)); sys.exit(n < 2)",
        1: "made('failed'); sys.exit(1)",
    }
    code, source, _ = run(sweep, 2, bodies, retries=2)
    assert (code, source.ends) == (1, {0: "finished", 1: "failed"})
    records = Sweep.open(sweep.path).records
    assert (records[0].attempts, records[1].attempts) == (3, 3)


def test_on_failure_stop_starts_no_further_job(sweep):
    code, _, _ = run(sweep, 6, {0: "made('failed'); sys.exit(1)"}, slots=1, stop_on_failure=True)
    assert code == 1
    assert states(sweep) == {0: "failed", **dict.fromkeys(range(1, 6), "waiting")}


def test_each_job_has_a_device_of_its_own_and_a_log(sweep, monkeypatch):
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    body = """
    device = os.environ["CUDA_VISIBLE_DEVICES"]
    mark = folder.parent / f"device{device}"
    mark.touch(exist_ok=False)  # fails where another job has the device
    made("finished"); time.sleep(0.2); mark.unlink()
    print(device, os.environ["IDD_JOBS"], os.environ["WANDB_RUN_GROUP"].endswith("/sweep"))
    """
    source, screen, bodies = Given(6), Screen(), dict.fromkeys(range(6), body)
    pool = Pool(sweep, slots_of(None, 1, ["6", "7"]), lambda job: None, programs(sweep, bodies), screen)
    assert pool.run(source) == 0
    logs = [sweep.log(n).read_text().split() for n in range(6)]
    assert {log[0] for log in logs} == {"6", "7"}
    assert all(log[1:] == ["2", "True"] for log in logs)


def test_a_job_that_needs_both_devices_is_not_overtaken(sweep):
    source, screen = Given(4), Screen()
    source.jobs[1].devices = 2
    body = "made('finished'); time.sleep(0.3); print(os.environ['CUDA_VISIBLE_DEVICES'])"
    pool = Pool(
        sweep, [Slot(0, "0"), Slot(1, "1")], lambda job: None, programs(sweep, dict.fromkeys(range(4), body)), screen
    )
    assert pool.run(source) == 0
    assert [line for line in screen.lines if line.startswith("start")] == [f"start {n}" for n in range(4)]
    assert sweep.log(1).read_text().split() == ["0,1"]


def test_a_signal_stops_the_jobs_and_leaves_them_resumable(sweep):
    stoppable = """
    def stop(*_):
        made('stopped'); sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    made('running'); time.sleep(30)
    """
    handled = []
    before = signal.signal(signal.SIGTERM, lambda number, _: handled.append(number))
    try:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        code, _, screen = run(sweep, 5, dict.fromkeys(range(5), stoppable))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (code, handled) == (143, [signal.SIGTERM])
    assert time.monotonic() - began < 20
    assert states(sweep) == {0: "stopped", 1: "stopped", 2: "waiting", 3: "waiting", 4: "waiting"}
    assert any("the jobs stop after their step" in line for line in screen.lines)
    code, source, _ = run(Sweep.open(sweep.path), 5, {})
    assert (code, source.ends) == (0, dict.fromkeys(range(5), "finished"))


def test_a_job_that_another_command_runs_is_left_to_it(sweep):
    with sweep.log(0).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        threading.Timer(2.0, other.close).start()
        code, source, screen = run(sweep, 3, {})
    assert (code, source.ends) == (0, dict.fromkeys(range(3), "finished"))
    assert screen.lines[0] == "Job 0 runs in a process of another sweep command; it is looked at again."
    assert [line for line in screen.lines if "start" in line] == ["start 1", "start 2", "start 0"]


PARENT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.hydra_plugins.idd_lightning.test_pool import *
sweep = Sweep.open(Path(sys.argv[1]))
sys.exit(run(sweep, int(sys.argv[2]), dict.fromkeys(range(100), sys.argv[3]))[0])
"""


def marked(mark):
    """The processes that have a mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if mark.encode() in text and state != "Z":
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("name", ["status.json", "environment.json", "history.csv"])
def test_a_job_whose_files_are_damaged_has_failed_and_the_others_go_on(sweep, name):
    damage = f"made('finished'); (folder / '{name}').write_text('{{' if '{name}' != 'history.csv' else 'epoch,val/miou\\n0,x\\n')"
    code, source, screen = run(sweep, 3, {0: damage, 1: "time.sleep(1); made('finished')"})
    assert (code, source.ends) == (1, {0: "failed", 1: "finished", 2: "finished"})
    [line] = [line for line in screen.lines if line.startswith("failed 0")]
    assert f"{sweep.folder(0) / name} is damaged" in line
    assert states(sweep)[0] == "failed"
    # When nobody kept its end it is run again, and the sweep goes on: here the job writes its files anew.
    sweep.keep(Record(0, ["x=0"], hash="h0", state="running", attempts=1))
    code, source, _ = run(Sweep.open(sweep.path), 3, {})
    assert (code, source.ends) == (0, dict.fromkeys(range(3), "finished"))


MOMENTS = np.random.default_rng(0).uniform(0.0, 1.6, 20).round(3).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_parent_leaves_no_process_and_nothing_is_run_again(sweep, tmp_path, moment):
    # Every fourth job would last for longer than is waited for below; not so when the sweep goes on.
    body = "made('running'); time.sleep(60 if number % 4 == 3 and 'IDD_MARK' in os.environ else 0.2); (folder / 'ran').open('a').write('x'); made('finished')"
    mark = f"MARK_{tmp_path.name}_{os.getpid()}"
    command = [sys.executable, "-c", PARENT, str(sweep.path), "8", body]
    with subprocess.Popen(command, env={**os.environ, "IDD_MARK": mark}) as parent:
        while not (sweep.path / "jobs" / "0.json").exists() and parent.poll() is None:
            time.sleep(0.02)
        time.sleep(moment)
        parent.kill()
    until = time.monotonic() + 10
    while marked(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert marked(mark) == []
    done = {
        n for n in range(8) if json.loads(_text(sweep.path / "jobs" / f"{n}.json") or "{}").get("state") == "finished"
    }
    before = {n: (sweep.folder(n) / "ran").read_text() for n in done}
    code, source, _ = run(Sweep.open(sweep.path), 8, dict.fromkeys(range(8), body))
    assert (code, source.ends) == (0, dict.fromkeys(range(8), "finished"))
    assert {n: (sweep.folder(n) / "ran").read_text() for n in done} == before == dict.fromkeys(done, "x")


def _text(path):
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("state", ["finished", "pruned"])
def test_a_job_that_ended_while_nobody_recorded_it_is_not_run_again(sweep, state):
    run(sweep, 1, {0: f"made('{state}')"})
    sweep.keep(
        Record(0, ["x=0"], hash="h0", state="running", attempts=1)
    )  # as when the sweep was killed just before it knew
    code, source, screen = run(Sweep.open(sweep.path), 1, {0: "raise AssertionError"})
    assert (code, source.ends, screen.lines) == (0, {0: state}, [])
    [row] = read_csv(sweep.path / "sweep.csv")
    assert (row["state"], row["exit_code"], row["epochs"], row["val/miou"]) == (state, "0", "2", "0.5")


def test_the_table_has_the_jobs_of_other_processes_too(sweep):
    other = Sweep.open(sweep.path)
    other.keep(Record(7, ["x=7"], state="running"))
    sweep.write_table()
    other.keep(Record(7, ["x=7"], state="finished", exit_code=0, headline="miou", scores={"val/miou": 0.9}))
    run(sweep, 1, {})
    assert states(sweep) == {0: "finished", 7: "finished"}
    assert sweep.best().number == 7
