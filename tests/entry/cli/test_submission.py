"""Single runs that are handed to SLURM: what is checked before, and what is left to the job."""

import pytest
from submitit.core.utils import DelayedSubmission

from tests.hydra_plugins.idd_lightning.test_slurm import SUBMIT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trainer=ddp",), ["trainer.devices=auto", "trainer.devices=N", "launcher.gpus_per_node=N"]),
        (("data=image_folder", "data.root=nowhere"), ["data.root=", "/nowhere: there is no such"]),
        (("trainer.max_epochs=0",), ["trainer.max_epochs"]),
        (("resume=nowhere",), ["nowhere"]),
        (("launcher.partitions=gpu",), ["partitions"]),
    ],
)
def test_what_makes_no_sense_is_refused_before_it_waits_in_a_queue(run_command, sbatch, tmp_path, arguments, words):
    answer = run_command("train", "hydra/launcher=slurm", *arguments)
    assert answer.code == 2
    assert all(word in answer.err for word in words), answer.err
    assert not [*(sbatch / "scripts").iterdir()]
    assert not (tmp_path / "runs").exists()


def test_variables_that_only_a_job_has(run_command, sbatch, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_TMPDIR", raising=False)
    answer = run_command("train", *SUBMIT, "data.cache_dir=${oc.env:SLURM_TMPDIR}/cache", "hydra.run.dir=there")
    assert answer.code == 0, answer.err
    task = DelayedSubmission.load(tmp_path / "there" / "slurm" / "100_submitted.pkl").function
    assert "data.cache_dir=${oc.env:SLURM_TMPDIR}/cache" in task.arguments


def test_other_commands_are_not_submitted(run_command, sbatch):
    answer = run_command("explore", "hydra/launcher=slurm")
    assert answer.code == 2
    assert "hydra/launcher=slurm submits trainings, and explore.py is none" in answer.err


def test_a_run_folder_that_is_taken_is_refused(run_command, sbatch, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.yaml").write_text("seed: 0\n")
    answer = run_command("train", *SUBMIT, "hydra.run.dir=there")
    assert answer.code == 2
    assert "already holds a run" in answer.err
