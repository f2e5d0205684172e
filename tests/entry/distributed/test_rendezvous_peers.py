"""Signs of life between ranks; that a process is ended where another is lost is tested with real ones in test_torchrun.py."""

import os
import threading
import time

import pytest

from entry.distributed import rendezvous
from tests.entry.distributed.test_supervisor import free_port


@pytest.fixture
def store(monkeypatch):
    """The store of this process, rank 0 of 2."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(rendezvous, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(rendezvous, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(rendezvous, "SILENT_SECONDS", 0.5)
    store = rendezvous.open_store(5)
    store.set("here/1", "node7")
    return store


@pytest.fixture
def ended(monkeypatch):
    """Set instead of ending this process."""
    event = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: event.set())
    return event


def test_a_rank_that_lives_is_no_loss(store, ended):
    reasons = []
    with rendezvous.watched(reasons.append):
        for beat in range(12):
            store.set("beat/1", str(beat))
            time.sleep(0.1)
    assert store.check(["beat/0"])
    assert (reasons, ended.is_set()) == ([], False)


def test_one_that_gives_no_sign_of_life_is_named(store, ended, capsys):
    reasons = []
    with rendezvous.watched(reasons.append):
        assert ended.wait(10)
    assert reasons == ["Rank 1 of 2 (node7) has given no sign of life for 0.5 s."]
    assert capsys.readouterr().err == f"rank 0: {reasons[0]}\n"


def test_one_that_failed_has_its_message(store, ended):
    reasons = []
    with rendezvous.watched(reasons.append):
        store.set("failed/1", "no images here")
        assert ended.wait(10)
    assert reasons == ["Rank 1 of 2 (node7) failed: no images here"]


def test_what_fails_by_itself_is_not_ended(store, ended):
    with rendezvous.watched(print):
        store.set("failed/1", "no images here")
        time.sleep(0.2)
    time.sleep(0.5)
    assert not ended.is_set()
