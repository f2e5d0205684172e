"""Under an outer launcher: torchrun, and one whose store lives in rank 0 (srun has none of its own)."""

import os
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from tests.chaos.harness import ROOT, Setting, compare, finish, train
from tests.conftest import make_image_folder
from tests.entry.distributed.test_supervisor import free_port, status

pytestmark = pytest.mark.slow
LEAD = """
from types import SimpleNamespace
from entry.distributed import torchrun
from entry.job import Job
run = SimpleNamespace(machine=SimpleNamespace(accelerator="cpu"))
torchrun.carry_out = lambda job, signal, run=None: print("worked", job.split)
if {shares}:
    torchrun.share(Job("evaluate", {folder!r}, split="val"), run, None)
torchrun.dismiss(2)
print("gone")
"""
FOLLOW = """
import sys
from entry.distributed import torchrun
torchrun.carry_out = lambda job, signal, run=None: print("worked", job.split)
sys.exit(torchrun.follow())
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """29 for training, 4 and 9: no step or batch leaves a rank a single one."""
    return make_image_folder(tmp_path_factory.mktemp("pictures") / "tiny", per_class=14)


def torchrun(node, nodes, port, *typed):
    command = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", "--nproc-per-node=1", f"--node-rank={node}",
               "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test", "train.py", *typed]  # fmt: skip
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )  # fmt: skip


def test_the_same_command_under_torchrun_on_two_nodes(tmp_path, pictures, monkeypatch):
    # What is set in torch later is not quite the same as what OpenMP reads when it is loaded.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    own, outer = tmp_path / "own", tmp_path / "outer"
    finish(train(own, pictures, Setting(2)))
    typed = [
        f"hydra.run.dir={outer}",
        f"data.root={pictures}",
        "data.num_workers=0",
        *Setting(2).typed,
        "trainer.devices=1",
        "trainer.num_nodes=2",
    ]
    port = free_port()
    nodes = [torchrun(node, 2, port, *typed) for node in range(2)]
    outs = [node.communicate(timeout=240)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outs
    assert compare(own, outer) == []
    assert status(outer)["state"] == "finished"


def test_a_wrong_number_of_tasks_is_refused_with_both_numbers_and_leaves_nothing(tmp_path, pictures):
    run, port = tmp_path / "run", free_port()
    typed = [f"hydra.run.dir={run}", f"data.root={pictures}", *Setting(2).typed, "trainer.devices=3"]
    nodes = [torchrun(node, 2, port, *typed) for node in range(2)]
    outs = [node.communicate(timeout=240)[0] for node in nodes]
    assert all(node.returncode for node in nodes)
    assert (
        sum(
            "The launcher started 2 processes, but trainer.devices × trainer.num_nodes is 3 × 1 = 3" in out
            for out in outs
        )
        == 1
    )
    assert not run.exists()


def test_what_hydra_refuses_ends_every_task(tmp_path):
    port = free_port()
    nodes = [torchrun(node, 2, port, "aug=flip_rotat", f"hydra.run.dir={tmp_path / 'run'}") for node in range(2)]
    outs = [node.communicate(timeout=120)[0] for node in nodes]
    assert all(node.returncode for node in nodes)
    assert sum("aug=flip_rotat: there is no such option" in out for out in outs) == 1


@pytest.mark.parametrize(("shares", "code", "printed"), [(True, 0, "worked val\n"), (False, 2, "")])
def test_the_others_get_the_job_or_are_dismissed_but_not_both(tmp_path, shares, code, printed):
    config = OmegaConf.load(ROOT / "tests/fixtures/old_runs/classification/config.yaml")
    config.trainer.devices = 2
    OmegaConf.save(config, tmp_path / "config.yaml")
    port = free_port()
    programs = (LEAD.format(shares=shares, folder=str(tmp_path)), FOLLOW)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(port)},
        )
        for rank, program in enumerate(programs)
    ]  # fmt: skip
    try:
        outs = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, code], outs
    assert [out for out, _ in outs] == [printed + "gone\n", printed]
