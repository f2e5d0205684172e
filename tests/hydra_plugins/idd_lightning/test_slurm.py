"""What is handed to sbatch: its options, and what each task runs. A stand-in takes the scripts; tests/cluster has a real SLURM."""

import json
import re
import shlex

from submitit.core.utils import DelayedSubmission

SUBMIT = ("hydra/launcher=slurm", "trainer=gpu", "trainer.devices=4", "trainer.num_nodes=2", "logger=csv")


def options(script):
    """The options in a script for sbatch."""
    return {
        name: shlex.split(value)[0] if value else "" for name, value in re.findall(r"#SBATCH --([\w-]+)=?(.*)", script)
    }


def test_a_single_run_is_submitted(run_command, sbatch, tmp_path):
    keys = (
        "launcher.partition=gpu",
        "launcher.account=lab",
        "launcher.qos=high",
        "launcher.constraint=a100",
        "launcher.time=1-12:00:00",
    )
    more = (
        "launcher.mem=64GB",
        "launcher.cpus_per_task=6",
        "launcher.signal_seconds=300",
        "launcher.setup=['module load cuda']",
        "+launcher.sbatch.mail-type=END",
    )
    answer = run_command("train", *SUBMIT, *keys, *more, "seed=3", "hydra.run.dir=there")
    assert answer.code == 0, answer.err
    folder = tmp_path / "there"
    assert answer.out.splitlines() == [
        f"job: 100, submitted to SLURM; what it prints: {folder}/slurm/100_0_log.out",
        str(folder),
    ]
    script = (sbatch / "scripts" / "0").read_text()
    wanted = {
        "partition": "gpu", "account": "lab", "qos": "high", "constraint": "a100", "time": "1-12:00:00", "mem": "64GB",
        "nodes": "2", "ntasks-per-node": "4", "gpus-per-node": "4", "cpus-per-task": "6", "signal": "USR2@300", "requeue": "",
        "mail-type": "END", "open-mode": "append", "job-name": "there",
    }  # fmt: skip
    assert options(script).items() >= wanted.items()
    assert "module load cuda" in script.splitlines()
    assert "srun" in script
    assert "--cpus-per-task=6" in next(line for line in script.splitlines() if line.startswith("srun"))
    task = DelayedSubmission.load(folder / "slurm" / "100_submitted.pkl").function
    arguments = list(task.arguments)
    assert arguments[0].endswith("train.py")
    assert arguments[1:] == [
        "trainer=gpu",
        "trainer.devices=4",
        "trainer.num_nodes=2",
        "logger=csv",
        "seed=3",
        "resume=auto",
        f'hydra.run.dir="{folder}"',
    ]
    assert task.sweep is None


def test_a_cpu_run_asks_for_no_gpu(run_command, sbatch):
    answer = run_command("train", "hydra/launcher=slurm", "trainer=ddp_cpu", "hydra.run.dir=there")
    assert answer.code == 0, answer.err
    found = options((sbatch / "scripts" / "0").read_text())
    assert found["ntasks-per-node"] == "2"
    assert "gpus-per-node" not in found


def test_what_would_be_submitted_is_printed_and_nothing_is_left(run_command, sbatch, tmp_path):
    answer = run_command("train", *SUBMIT, "launcher.print=true", "launcher.container=my idd.sif")
    assert answer.code == 0, answer.err
    assert options(answer.out)["nodes"] == "2"
    assert "apptainer exec --nv 'my idd.sif' python -u -m submitit.core._submit" in answer.out
    assert not [*(sbatch / "scripts").iterdir()]
    assert not (tmp_path / "runs").exists()
    answer = run_command("train", "-m", *SUBMIT, "launcher.print=true", "seed=1,2,3", "jobs=2")
    assert answer.code == 0, answer.err
    assert options(answer.out)["array"] == "0-2%2"
    assert [line for line in answer.out.splitlines() if line.startswith("# python")][2].count("seed=3") == 1
    assert not (tmp_path / "runs").exists()


def test_jobs_that_need_the_same_are_one_array(run_command, sbatch, tmp_path):
    devices = "trainer.devices=1,2"
    answer = run_command(
        "train",
        "-m",
        "hydra/launcher=slurm",
        "trainer=gpu",
        devices,
        "seed=1,2",
        "launcher.wait=false",
        "hydra.sweep.dir=there",
    )
    assert answer.code == 0, answer.err
    found = [options((sbatch / "scripts" / name).read_text()) for name in ("0", "1")]
    assert [(each["ntasks-per-node"], each["array"]) for each in found] == [("1", "0-1%2"), ("2", "0-1%2")]
    task = DelayedSubmission.load(tmp_path / "there" / "slurm" / "101_1_submitted.pkl").function
    assert (task.sweep, task.number) == (str(tmp_path / "there"), 3)
    assert {"trainer.devices=2", "seed=2", f'hydra.run.dir="{tmp_path}/there/3"', "resume=auto"} <= {*task.arguments}
    assert "To cancel them: scancel 100 101" in answer.out
    # sweep.resume repeats what was typed, and follows the jobs.
    arguments = json.loads((tmp_path / "there" / "sweep.json").read_text())["arguments"]
    assert arguments == ["hydra/launcher=slurm", "trainer=gpu", "trainer.devices=1,2", "seed=1,2"]


def test_devices_of_a_node_by_its_gpus(run_command, sbatch):
    answer = run_command(
        "train", "hydra/launcher=slurm", "trainer=ddp", "launcher.gpus_per_node=8", "launcher.print=true"
    )
    assert answer.code == 0, answer.err
    assert options(answer.out)["ntasks-per-node"] == "8"
    assert "trainer.devices=8" in answer.out


def test_what_sbatch_refuses_is_printed(run_command, sbatch, tmp_path):
    (sbatch / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpu' >&2\nexit 1\n")
    for sweep in ((), ("-m", "seed=1,2")):
        answer = run_command("train", *sweep, *SUBMIT)
        assert answer.code == 2
        assert "sbatch refused the job" in answer.err
        assert "invalid partition specified: gpu" in answer.err
        assert "Traceback" not in answer.err
        assert not (tmp_path / "runs").exists()


def test_without_slurm(run_command, sbatch, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    answer = run_command("train", *SUBMIT)
    assert answer.code == 2
    assert "srun is not found" in answer.err
    answer = run_command("train", *SUBMIT, "launcher.print=true")
    assert answer.code == 0, answer.err
    assert options(answer.out)["nodes"] == "2"


def test_what_a_search_would_submit_is_not_known_before(run_command, sbatch, tmp_path):
    search = ("hydra/sweeper=optuna", "n_trials=2", "optimizer.lr=tag(log,interval(1e-4,1e-2))")
    answer = run_command("train", "-m", *SUBMIT, *search, "launcher.print=true")
    assert answer.code == 2
    assert "Leave it out with a search" in answer.err
    assert not (tmp_path / "runs").exists()
