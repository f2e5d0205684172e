"""Signs of life between ranks; that a process is ended where another is lost is tested with real ones in test_torchrun.py."""

import json
import os
import socket
import threading
import time

import pytest

from entry.distributed import peers, rendezvous
from entry.distributed.peers import Peers
from entry.distributed.stillness import Still, Stillness
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
    monkeypatch.setattr(peers, "open_store", lambda *_: Blocked(store, 3))
    with others.watching():
        assert ended.wait(20)
    place = rendezvous.address()
    assert reasons[0].startswith(f"Rank 0 of 2 (node3), where the ranks' store is ({place}), has not answered for ")


def test_on_one_machine_a_command_that_is_stopped_does_not_end_its_ranks(store, ended, reasons, monkeypatch):
    others = Peers(3.5, one_machine=True)
    others.on_loss = reasons.append
    monkeypatch.setattr(peers, "open_store", lambda *_: Blocked(store, 3))
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


@pytest.fixture
def places(store, others, monkeypatch):
    """A function that makes each rank report where it has been for how long."""

    def report(*found):
        own = Still(*found[0])
        monkeypatch.setattr(Stillness, "look", lambda *_: own)
        store.set("still/1", json.dumps(found[1]))
        others.seconds = 13
        for beat in range(3):
            store.set("beat/1", str(beat))

    return report


def test_one_that_computes_nothing_while_another_waits_is_named_with_its_place(places, ended, others, reasons):
    places((11.2, True, "backward (autograd/graph.py:9)"), (11.4, False, "on_train_batch_start (mine/hung.py:7)"))
    with others.watching():
        assert ended.wait(20)
    [reason] = reasons
    assert reason == (
        "Rank 1 of 2 (node7), in on_train_batch_start (mine/hung.py:7), has computed nothing for 11 s (trainer.timeout=13), while the others "
        "wait for it in an exchange. A larger trainer.timeout waits longer. Go on with it."
    )


def test_ranks_in_exchanges_that_do_not_match_are_named_with_both_places(places, ended, others, reasons):
    places((11.2, True, "backward (autograd/graph.py:9)"), (11.4, True, "broadcast (distributed/c10d.py:5)"))
    with others.watching():
        assert ended.wait(20)
    [reason] = reasons
    assert reason == (
        f"All ranks wait for one another for 11 s (trainer.timeout=13): Rank 0 of 2 ({socket.gethostname()}) in backward (autograd/graph.py:9); "
        "Rank 1 of 2 (node7) in broadcast (distributed/c10d.py:5). Go on with it."
    )


@pytest.mark.parametrize("second", [(0.0, False, ""), (3.0, False, "sleep (x:1)")])
def test_as_long_as_one_computes_all_wait(places, ended, others, reasons, second):
    places((100.0, True, "backward (autograd/graph.py:9)"), second)
    with others.watching():
        assert not ended.wait(1.5)
    assert reasons == []
