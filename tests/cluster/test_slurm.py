"""Runs that are submitted to a real SLURM of two nodes: the figures of one machine, requeued at any moment."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from run_files import read_csv
from tests.cluster.conftest import PROJECT, SMALL, SUBMITTED, TWO_NODES, job_of

pytestmark = pytest.mark.cluster
EPOCHS = "trainer.max_epochs=12"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_equal_runs(folder: Path, reference: Path) -> None:
    """Every weight bit by bit, and every figure but the seconds."""
    ours, theirs = weights(folder), weights(reference)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    histories = [read_csv(path / "history.csv") for path in (folder, reference)]
    for rows in histories:
        for row in rows:
            del row["seconds"]
    assert histories[0] == histories[1]
    scores = [json.loads((path / "evaluation" / "test" / "scores.json").read_text()) for path in (folder, reference)]
    for found in scores:
        del found["run"]
    assert scores[0] == scores[1]


def status(folder: Path) -> dict[str, object]:
    return json.loads((folder / "status.json").read_text())


def log_of(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted((folder / "slurm").glob("*_log.out")))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, slurm, shared_cache):
    """The same training in two processes of one machine, without SLURM."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    environment = {name: value for name, value in slurm.environment.items() if not name.startswith("SLURM")}
    environment |= {"XDG_CACHE_HOME": str(shared_cache), "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROJECT / "train.py"), *SMALL, "trainer=ddp_cpu", "trainer.devices=2", EPOCHS]
    subprocess.run([*command, "logger=csv", f"hydra.run.dir={folder}"], env=environment, check=True, timeout=600)
    return folder


def test_two_nodes_train_as_two_processes_of_one_machine_do(slurm, type_on, undisturbed):
    number, folder = job_of(type_on("train", *SMALL, *TWO_NODES, *SUBMITTED, EPOCHS, "logger=csv"))
    assert slurm.wait_for(number, "COMPLETED", "FAILED") == "COMPLETED", log_of(folder)
    assert_equal_runs(folder, undisturbed)
    assert (status(folder)["state"], status(folder)["slurm_job"], status(folder)["requeues"]) == ("finished", number, 0)
    # What the two ranks counted is what one process counts.
    before = json.loads((folder / "evaluation" / "test" / "scores.json").read_text())
    type_on("evaluate", f"run={folder}")
    after = json.loads((folder / "evaluation" / "test" / "scores.json").read_text())
    assert before == after
    assert before["n_seen"] == before["n_unique"] == before["n_expected"]


def epochs_of(folder: Path) -> int:
    return len(read_csv(folder / "history.csv")) if (folder / "history.csv").exists() else 0


def test_a_job_that_is_requeued_at_ten_moments_is_the_same_run(slurm, type_on, undisturbed):
    # SLURM's signals reach wandb's own process as well, and end it: the training must not depend on it.
    number, folder = job_of(type_on("train", *SMALL, *TWO_NODES, *SUBMITTED, EPOCHS, "logger=wandb"))
    for moment in range(10):
        slurm.wait_for(number, "RUNNING")
        if moment < 3:  # while Python, torch and the group of ranks are starting
            time.sleep(2.5 * moment)
        else:
            before = epochs_of(folder)
            slurm.wait(lambda n=before: epochs_of(folder) > n, "a further epoch", 120)
            time.sleep(0.2 * moment % 1)
        slurm.run("scontrol", "requeue", number)
        slurm.start_now(number)
    assert slurm.wait_for(number, "COMPLETED", "FAILED") == "COMPLETED", log_of(folder)
    assert_equal_runs(folder, undisturbed)
    assert status(folder)["requeues"] == 10
    facts = json.loads((folder / "environment.json").read_text())
    assert len({resumed["step"] for resumed in facts["resumed"]} - {0}) >= 5, (
        "most moments should be within the training"
    )
    [logger] = facts["loggers"]
    assert {path.name.split("-")[-1] for path in (folder / "wandb").glob("offline-run-*")} == {logger["id"]}
    assert f'File "{PROJECT}/train.py' not in log_of(folder), "no traceback of ours"


def test_before_its_time_is_over_a_job_saves_its_state_and_is_requeued(slurm, type_on, undisturbed):
    # SLURM looks once in a while, and may send the signal a minute early.
    limit = ("launcher.time=2", "launcher.signal_seconds=20")
    slow = "trainer.max_epochs=400"
    number, folder = job_of(type_on("train", *SMALL, *TWO_NODES, *SUBMITTED, slow, *limit, "logger=csv"))
    slurm.wait_for(number, "RUNNING")
    slurm.wait(lambda: slurm.job(number)["JobState"] == "PENDING", "the requeued job", 180)
    assert (status(folder)["state"], status(folder)["exit_code"]) == ("stopped", 140)
    reached = epochs_of(folder)
    slurm.start_now(number)
    slurm.wait(lambda: epochs_of(folder) > reached + 1, "an epoch of the requeued job", 120)
    assert status(folder)["requeues"] == 1
    slurm.run("scancel", number)
    slurm.wait_for(number, "CANCELLED")
    epochs = [int(row["epoch"]) for row in read_csv(folder / "history.csv")]
    assert epochs == list(range(len(epochs)))


def test_a_task_count_that_does_not_fit_ends_with_both_numbers(slurm, type_on, tmp_path):
    command = (sys.executable, str(PROJECT / "train.py"), *SMALL, *TWO_NODES, f"hydra.run.dir={tmp_path}/run")
    answer = slurm.run("srun", "--nodes=2", "--ntasks=3", *command, check=False)
    assert answer.returncode == 2
    assert (
        "srun started 3 tasks on 2 nodes (2, 1), but trainer.num_nodes × trainer.devices is 2 × 1 = 2" in answer.stderr
    )
    assert not (tmp_path / "run").exists()
    script = ("sbatch", "--wait", "--nodes=2", "--ntasks-per-node=1", f"--output={tmp_path}/out", "--wrap")
    without_srun = [part for part in command if part not in TWO_NODES]
    answer = slurm.run(*script, shlex.join(without_srun), check=False)
    assert answer.returncode == 2
    assert "has 2 tasks on 2 nodes" in (tmp_path / "out").read_text()


def test_the_template_goes_on_where_it_was_stopped(slurm, type_on, tmp_path, undisturbed):
    text = (PROJECT / "conf" / "cluster" / "slurm.sbatch").read_text()
    edits = {
        "--partition=gpu": "--partition=main", "--ntasks-per-node=4": "--ntasks-per-node=1", "--cpus-per-task=8": "--cpus-per-task=1",
        "#SBATCH --gpus-per-node=4": "##", "--time=24:00:00": "--time=30", "/path/to/idd-lightning": str(PROJECT),
        "source .venv/bin/activate": f"export PATH={Path(sys.executable).parent}:$PATH", "trainer=ddp ": "trainer=ddp_cpu ",
        "model=resnet18 aug=flip_rotate": shlex.join([*SMALL, EPOCHS, "logger=csv"]), "RUN=runs/": f"RUN={tmp_path}/",
    }  # fmt: skip
    for old, new in edits.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "job.sbatch").write_text(text)
    number = slurm.run("sbatch", f"--output={tmp_path}/out", str(tmp_path / "job.sbatch")).stdout.split()[-1]
    folder = tmp_path / number
    slurm.wait(lambda: epochs_of(folder) > 1, "two epochs", 120)
    slurm.run("scancel", "--signal=USR2", number)  # as SLURM does before the time is over
    slurm.start_now(number)
    assert status(folder)["exit_code"] == 140
    assert slurm.wait_for(number, "COMPLETED", "FAILED") == "COMPLETED", (tmp_path / "out").read_text()
    assert_equal_runs(folder, undisturbed)
    assert status(folder)["requeues"] == 1
