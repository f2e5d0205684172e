"""Under an outer launcher: torchrun, and one whose store lives in rank 0 (srun has none of its own)."""

import json
import os
import socket
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
run = SimpleNamespace(machine=SimpleNamespace(accelerator="cpu"), settings=Job("evaluate", {folder!r}).settings())
torchrun.carry_out = lambda job, signal, run: print("worked", job.split)
def compose():
    if {shares}:
        torchrun.share(Job("evaluate", {folder!r}, split="val"), run, None)
    return 2
torchrun.lead(compose)
print("gone")
"""
FOLLOW = """
import sys
from entry.distributed import torchrun
torchrun.assembled = lambda job: None
torchrun.carry_out = lambda job, signal, run: print("worked", job.split)
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
            "The launcher started 2 processes, but trainer.num_nodes × trainer.devices is 1 × 3 = 3" in out
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


def started(tmp_path, *programs, **environment):
    """Programs as ranks of an outer launcher that ends none of them, such as srun: (exit codes, outputs, errors)."""
    config = OmegaConf.load(ROOT / "tests/fixtures/old_runs/classification/config.yaml")
    config.trainer.devices, config.trainer.timeout = 2, 10
    OmegaConf.save(config, tmp_path / "config.yaml")
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(port), **environment},
        )
        for rank, program in enumerate(programs)
    ]  # fmt: skip
    try:
        outs = [process.communicate(timeout=300) for process in processes]  # torch itself waits for half an hour
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], [out for out, _ in outs], [err for _, err in outs]


@pytest.mark.parametrize(("shares", "code", "printed"), [(True, 0, "worked val\n"), (False, 2, "")])
def test_the_others_get_the_job_or_are_dismissed_but_not_both(tmp_path, shares, code, printed):
    codes, outs, errs = started(tmp_path, LEAD.format(shares=shares, folder=str(tmp_path)), FOLLOW)
    assert codes == [0, code], errs
    assert outs == [printed + "gone\n", printed]


# What can happen on one node alone: its settings are refused, its GPU is missing, its disk does not show the run folder.
FAILS_FIRST = (
    """
from entry.errors import RequestError
def refuse(trainer):
    raise RequestError("torch sees no GPU on this machine")
torchrun.choose = refuse
""",
    """
from run_folder import RunFolder, RunFolderError
from entry.distributed import torchrun
def hide(path):
    raise RunFolderError("torch sees no GPU on this machine")
torchrun.RunFolder.open = hide
""",
    """
def bug(trainer):
    raise ZeroDivisionError("torch sees no GPU on this machine")
torchrun.choose = bug
""",
)


@pytest.mark.parametrize("failure", FAILS_FIRST)
def test_a_rank_that_fails_before_the_group_is_formed_ends_the_others_with_its_message(tmp_path, failure):
    follow = FOLLOW.replace("sys.exit", f"{failure}\nsys.exit")
    codes, outs, errs = started(tmp_path, LEAD.format(shares=True, folder=str(tmp_path)), follow)
    assert codes[0] == 1
    assert codes[1] in (1, 2)
    assert outs == ["", ""]
    assert f"RankError: Rank 1 of 2 ({socket.gethostname()}) failed: torch sees no GPU on this machine" in errs[0]


def test_a_rank_that_fails_later_ends_the_others_with_its_message(tmp_path):
    waits = "import torch.distributed as dist\nfrom entry.errors import RequestError\ntorchrun.carry_out = lambda *_: dist.barrier()\n"
    fails = "def fail(*_):\n    raise RequestError('the images are not visible here')\nfrom entry.errors import RequestError\ntorchrun.carry_out = fail\n"  # fmt: skip
    lead = LEAD.format(shares=True, folder=str(tmp_path)).replace("def compose", f"{waits}\ndef compose")
    codes, _, errs = started(tmp_path, lead, FOLLOW.replace("sys.exit", f"{fails}\nsys.exit"))
    assert codes == [1, 2]
    assert f"Rank 1 of 2 ({socket.gethostname()}) failed: the images are not visible here" in errs[0]


def test_a_rank_that_is_lost_while_another_waits_ends_that_one_with_a_true_status(tmp_path):
    """A rank that neither fails nor works, as on a machine that has crashed."""
    status_file = tmp_path / "status.json"
    lead = LEAD.format(shares=True, folder=str(tmp_path)).replace(
        "def compose",
        f"""
from pathlib import Path
from run_folder import Status
import torch.distributed as dist
run.folder = SimpleNamespace(status=Path({str(status_file)!r}))
Status(run.folder.status).start()
torchrun.carry_out = lambda *_: dist.barrier()
def compose""",
    )
    freezes = (
        "import os, signal, subprocess, sys, time\n"
        "def freeze(*_):\n"
        "    subprocess.Popen(['sh', '-c', f'sleep 40; kill -9 {os.getpid()}'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "torchrun.carry_out = freeze\n"
    )
    codes, _, errs = started(tmp_path, lead, FOLLOW.replace("sys.exit", f"{freezes}\nsys.exit"))
    assert codes == [1, -9]
    assert f"Rank 1 of 2 ({socket.gethostname()}) has given no sign of life for " in errs[0]
    facts = json.loads(status_file.read_text())
    assert (facts["state"], facts["exit_code"]) == ("failed", 1)
    assert "Rank 1 of 2" in facts["error"]


@pytest.mark.parametrize("rank", ["0", "1"])
def test_whole_strays_of_a_launcher_are_a_line_on_what_is_waited_for_and_then_a_sentence(tmp_path, rank):
    program = f"""
import sys
from entry.distributed import rendezvous
rendezvous.ARRIVAL_SECONDS = 12
rendezvous.meet.__defaults__ = (12,)
sys.argv = ["train.py", "hydra.run.dir={tmp_path}/run", "trainer=cpu", "logger=csv"]
from train import train
train()
"""
    port = str(free_port())
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
    )  # fmt: skip
    assert answer.returncode == (2 if rank == "0" else 1)
    assert "Traceback" not in answer.stderr
    assert (
        f"waiting for the other ranks of 2 at 127.0.0.1:{port}, as RANK={rank} and WORLD_SIZE=2 are set"
        in answer.stderr
    )
    assert "type env -u RANK -u WORLD_SIZE before it" in answer.stderr
    assert not (tmp_path / "run").exists()
