"""Signs of life between ranks; that a process is ended where another is lost is tested with real ones in test_torchrun.py."""

import os
import threading
import time

import pytest

from entry.distributed import peers, rendezvous
from entry.distributed.peers import Peers
from tests.entry.distributed.test_supervisor import free_port


@pytest.fixture
def store(monkeypatch):
    """The store of this process, rank 0 of 2; the other one has given a sign of life."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(peers, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(peers, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(peers, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(peers, "LEAVING_SECONDS", 0.3)
    store = rendezvous.open_store(5)
    store.set("here/1", "node7")
    store.set("beat/1", "0")
    return store


@pytest.fixture
def ended(monkeypatch):
    """Set instead of ending this process."""
    event = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: event.set())
    return event


@pytest.fixture
def reasons():
    return []


@pytest.fixture
def others(reasons):
    others = Peers(3.5)  # half a second of silence, and the leeway
    others.on_loss, others.advice = reasons.append, "Go on with it."
    return others


def test_a_rank_that_lives_is_no_loss(store, ended, others, reasons):
    others.seconds = 5
    with others.watching():
        for beat in range(30):
            store.set("beat/1", str(beat))
            time.sleep(0.1)
    assert store.check(["beat/0"])
    assert (reasons, ended.is_set()) == ([], False)


def test_one_that_gives_no_sign_of_life_is_named_with_its_host_and_what_to_do(store, ended, others, reasons, capsys):
    with others.watching():
        assert ended.wait(20)
    (reason,) = reasons
    assert reason.startswith("Rank 1 of 2 (node7) has given no sign of life for ")
    assert reason.endswith(
        " s (trainer.timeout=3.5): it has ended or was stopped, or its machine or the network is lost. Go on with it."
    )
    assert capsys.readouterr().err == f"rank 0: {reason}\n"


class Blocked:
    """A store whose machine was cut off after some answers: its calls do not return."""

    def __init__(self, store, answers):
        self.store, self.answers = store, answers

    def set(self, name, value):
        self.answers -= 1
        if self.answers < 0:
            threading.Event().wait()
        self.store.set(name, value)

    def __getattr__(self, name):
        return getattr(self.store, name)


def test_a_store_that_never_answers_again_ends_the_process_too(store, ended, others, reasons, monkeypatch):
    store.set("here/0", "node3")
    store.set("beat/0", "0")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(peers, "open_store", lambda _: Blocked(store, 3))
    with others.watching():
        assert ended.wait(20)
    place = rendezvous.address()
    assert reasons[0].startswith(f"Rank 0 of 2 (node3), where the ranks' store is ({place}), has not answered for ")


def test_on_one_machine_a_command_that_is_stopped_does_not_end_its_ranks(store, ended, reasons, monkeypatch):
    others = Peers(3.5, one_machine=True)
    others.on_loss = reasons.append
    monkeypatch.setattr(peers, "open_store", lambda _: Blocked(store, 3))
    with others.watching():
        assert not ended.wait(2)
    assert reasons == []


def test_one_that_failed_has_its_message(store, ended, others, reasons):
    with others.watching():
        store.set("failed", "1 no images here")
        assert ended.wait(20)
    assert reasons == ["Rank 1 of 2 (node7) failed: no images here"]


def test_what_fails_by_itself_is_not_ended(store, ended, others, monkeypatch):
    monkeypatch.setattr(peers, "GRACE_SECONDS", 20)
    with others.watching():
        store.set("failed", "1 no images here")
        time.sleep(0.2)
    time.sleep(0.5)
    assert not ended.is_set()


def test_a_disk_that_does_not_answer_does_not_keep_the_process(store, ended, others, monkeypatch):
    others.on_loss = lambda _: threading.Event().wait()
    monkeypatch.setattr(peers, "LEEWAY_SECONDS", 3)
    with others.watching():
        assert ended.wait(30)


def test_what_takes_longer_than_it_may_ends_the_process_with_a_reason(store, ended, others, reasons):
    others.seconds = 60
    with others.watching(), others.limited(0.3, "nobody is reached"):
        assert ended.wait(20)
    assert reasons == ["nobody is reached"]
