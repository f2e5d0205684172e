"""Rank 0 and the others under a launcher whose store lives in rank 0 (srun has none of its own)."""

import json
import os
import subprocess
import sys

import pytest

from tests.chaos.harness import ROOT
from tests.entry.test_launching import free_port

pytestmark = pytest.mark.slow
LEAD = """
from types import SimpleNamespace
from entry import outer
from entry.work import Job
run = SimpleNamespace(machine=SimpleNamespace(accelerator="cpu"))
outer.carry_out = lambda job, signal, run=None: print("worked", job.split)
if {tells}:
    outer.share(Job("evaluate", {folder!r}, {config!r}, split="val"), run, None)
outer.dismiss(2)
print("gone")
"""
FOLLOW = """
import sys
from entry import outer
outer.carry_out = lambda job, signal, run=None: print("worked", job.split)
sys.exit(outer.follow())
"""


@pytest.mark.parametrize(("tells", "code", "says"), [(True, 0, "worked val\n"), (False, 2, "")])
def test_the_others_are_told_the_job_or_sent_away_but_not_both(tmp_path, tells, code, says):
    config = {"trainer": {"accelerator": "cpu", "devices": 2, "num_nodes": 1, "precision": "32-true", "threads": 1,
                          "sync_batchnorm": False}}  # fmt: skip
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    port = free_port()
    programs = (LEAD.format(tells=tells, folder=str(tmp_path), config=config), FOLLOW)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(port)},
        )
        for rank, program in enumerate(programs)
    ]  # fmt: skip
    outs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, code], outs
    assert [out for out, _ in outs] == [says + "gone\n", says]
