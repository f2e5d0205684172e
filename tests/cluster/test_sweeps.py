"""Sweeps that are submitted to a real SLURM: nobody has to stay, and nothing that happens to the cluster loses a job."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import PROJECT, SMALL, SUBMITTED, TWO_NODES
from tests.cluster.test_slurm import assert_equal_runs

pytestmark = pytest.mark.cluster
SHORT = (*SMALL, "trainer.max_epochs=4", "logger=csv")


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_outlives_the_command_that_submitted_it_and_the_controller(slurm, type_on, tmp_path):
    jobs = (*SHORT, "trainer=cpu", *SUBMITTED, "seed=1,2,3,4", f"hydra.sweep.dir={tmp_path}/sweep")
    command = [sys.executable, str(PROJECT / "train.py"), "-m", *jobs]
    submitting = subprocess.Popen(command, env=slurm.environment, cwd=tmp_path, start_new_session=True)
    records = tmp_path / "sweep" / "jobs"
    slurm.wait(lambda: len([*records.glob("*.json")]) == 4, "four submitted jobs", 120)
    number = json.loads((records / "0.json").read_text())["slurm_job"].partition("_")[0]
    slurm.wait(lambda: slurm.job(f"{number}_0")["JobState"] == "RUNNING", "a running job")
    os.killpg(submitting.pid, signal.SIGKILL)  # its shell has gone
    submitting.wait()
    slurm.stop_controller()
    slurm.start_controller()
    slurm.wait(lambda: len(table_of(tmp_path / "sweep")) == 4, "a row for each job")
    answer = type_on("train", "-m", f"sweep.resume={tmp_path}/sweep")
    assert answer.stdout.splitlines()[-1] == f"{tmp_path}/sweep"
    rows = table_of(tmp_path / "sweep")
    assert [(row["number"], row["state"], row["epochs"]) for row in rows] == [
        (str(n), "finished", "4") for n in range(4)
    ]
    attempts = [json.loads((records / f"{n}.json").read_text())["attempts"] for n in range(4)]
    assert attempts == [1] * 4, "no job was submitted twice"
    assert (tmp_path / "sweep" / "experiment" / "best.yaml").exists()


def test_a_job_whose_node_fails_goes_on_on_another_one(slurm, type_on, tmp_path):
    answer = type_on(
        "train", "-m", *SMALL, "trainer.max_epochs=12", "logger=csv", "trainer=cpu", *SUBMITTED, "launcher.wait=false",
        "seed=1,2", "sweep.evaluate=all", "jobs=1", f"hydra.sweep.dir={tmp_path}/sweep",
    )  # fmt: skip
    assert answer.stdout.count("scancel") == 1
    records = tmp_path / "sweep" / "jobs"
    number = json.loads((records / "0.json").read_text())["slurm_job"]
    history = tmp_path / "sweep" / "0" / "history.csv"
    slurm.wait(history.exists, "an epoch", 120)
    node = slurm.job(number)["NodeList"]
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    slurm.start_now(number)
    slurm.wait_for(number, "RUNNING")
    assert slurm.job(number)["NodeList"] == ({"n1", "n2"} - {node}).pop()
    slurm.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
    answer = type_on("train", "-m", f"sweep.resume={tmp_path}/sweep")
    assert [row["state"] for row in table_of(tmp_path / "sweep")] == ["finished"] * 2, answer.stdout
    type_on(
        "train",
        *SMALL,
        "trainer.max_epochs=12",
        "logger=csv",
        "trainer=cpu",
        "seed=1",
        f"hydra.run.dir={tmp_path}/alone",
    )
    assert_equal_runs(tmp_path / "sweep" / "0", tmp_path / "alone")


def test_a_draining_node_finishes_what_it_runs_and_gets_no_further_job(slurm, type_on, tmp_path):
    slurm.run("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=test")
    try:
        answer = type_on(
            "train", "-m", *SHORT, "trainer=cpu", *SUBMITTED, "seed=1,2", f"hydra.sweep.dir={tmp_path}/sweep"
        )
        jobs = [json.loads((tmp_path / "sweep" / "jobs" / f"{n}.json").read_text())["slurm_job"] for n in range(2)]
        assert [slurm.job(number)["NodeList"] for number in jobs] == ["n2", "n2"]
        assert [row["state"] for row in table_of(tmp_path / "sweep")] == ["finished"] * 2, answer.stdout
    finally:
        slurm.run("scontrol", "update", "NodeName=n1", "State=RESUME")


def test_jobs_of_a_sweep_that_fail_or_are_refused_are_recorded_by_themselves(slurm, type_on, tmp_path):
    overrides = (*SHORT, "trainer=cpu", *SUBMITTED, "data.fraction=0.2,0.001", f"hydra.sweep.dir={tmp_path}/sweep")
    overrides = [each for each in overrides if each != "data.fraction=0.2"]
    answer = type_on("train", "-m", *overrides, check=False)
    assert answer.returncode == 2
    assert [row["state"] for row in table_of(tmp_path / "sweep")] == ["finished", "refused"]
    assert "data.fraction" in answer.stdout


def test_a_search_shares_its_study_among_commands(slurm, type_on, tmp_path):
    search = ("hydra/sweeper=optuna", "n_trials=4", "optimizer.lr=tag(log,interval(1e-4,1e-2))", "jobs=2")
    one = ("trainer=cpu", *SUBMITTED, *search, f"hydra.sweep.dir={tmp_path}/sweep")
    command = [sys.executable, str(PROJECT / "train.py"), "-m", *SHORT, *one]
    first = subprocess.Popen(command, env=slurm.environment, cwd=tmp_path, start_new_session=True)
    slurm.wait((tmp_path / "sweep" / "jobs" / "0.json").exists, "a first trial", 120)
    type_on("train", "-m", f"sweep.resume={tmp_path}/sweep")
    assert first.wait(timeout=300) == 0
    rows = table_of(tmp_path / "sweep")
    assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
    assert {row["state"] for row in rows} <= {"finished", "pruned"}
    jobs = [json.loads((tmp_path / "sweep" / "jobs" / f"{n}.json").read_text()) for n in range(4)]
    assert len({job["slurm_job"] for job in jobs}) == 4
    assert [job["attempts"] for job in jobs] == [1] * 4


def test_two_nodes_for_each_job_of_a_sweep(slurm, type_on, tmp_path):
    type_on("train", "-m", *SHORT, *TWO_NODES, *SUBMITTED, "seed=1,2", f"hydra.sweep.dir={tmp_path}/sweep")
    assert [row["state"] for row in table_of(tmp_path / "sweep")] == ["finished"] * 2
    facts = json.loads((tmp_path / "sweep" / "1" / "environment.json").read_text())
    assert (facts["nodes"], facts["devices"]) == (2, 1)
