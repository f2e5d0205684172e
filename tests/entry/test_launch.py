"""In how many processes a job is done, and by whom they are started."""

from types import SimpleNamespace

import pytest

from entry import launch as launching
from entry.distributed import supervisor, torchrun
from entry.job import Job


@pytest.mark.parametrize(
    ("ranks", "environment", "expected"),
    [
        (1, {}, ["in this process"]),
        (2, {}, ["2 processes train /runs/one"]),
        (2, {"RANK": "0", "WORLD_SIZE": "2"}, ["with those that are there"]),
    ],
)
def test_where_a_job_is_done(monkeypatch, ranks, environment, expected):
    done = []
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launching, "carry_out", lambda *_: done.append("in this process"))
    monkeypatch.setattr(torchrun, "share", lambda *_: done.append("with those that are there"))
    monkeypatch.setattr(
        supervisor,
        "run_ranks",
        lambda job, kind, machine, path: done.append(f"{machine.ranks} processes {kind} {path}"),
    )
    run = SimpleNamespace(machine=SimpleNamespace(ranks=ranks), folder=SimpleNamespace(path="/runs/one"))
    launching.launch(Job("train", "/runs/one"), run, None)
    assert done == expected
