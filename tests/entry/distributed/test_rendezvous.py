"""Ranks that find one another at a store on this machine, and the message where some do not come."""

import os
import subprocess
import sys
import threading
import time

import pytest
import torch.distributed as dist

from entry.distributed import rendezvous
from entry.errors import RankError
from entry.request import PROJECT


def test_missing_ranks_are_named(ranks):
    address = ranks(0, 4)
    with pytest.raises(RankError) as error:
        rendezvous.meet(0.3)
    assert f"After 0.3 s 3 of 4 ranks have not come to {address}: 1, 2, 3. There are 0 (" in str(error.value)


def test_a_rank_finds_no_first_rank(ranks):
    address = ranks(1, 2)
    with pytest.raises(RankError, match=f"Rank 1 of 2: no answer at {address} within 1 s"):
        rendezvous.meet(1)


def test_a_wait_for_the_first_rank_ends_when_it_is_over(ranks):
    ranks(1, 2)
    over = threading.Event()
    threading.Timer(0.3, over.set).start()
    began = time.monotonic()
    with pytest.raises(RankError, match="no answer at"):
        rendezvous.open_store(60, over)
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_process_ends_in_order_while_a_thread_waits_for_the_first_rank(ranks):
    """A thread that returns from torch's client while Python shuts down aborts the process with SIGABRT."""
    ranks(1, 2)
    program = """
import threading, time
from entry.distributed import rendezvous

class Last:
    def __del__(self, sleep=time.sleep):
        sleep(8)

last = Last()
threading.Thread(target=rendezvous.open_store, args=(1,), daemon=True).start()
time.sleep(0.5)
"""
    answer = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, b"")


def test_a_rank_that_comes_later_is_waited_for(ranks):
    ranks(0, 2)

    def follow():
        time.sleep(0.5)
        host, port = "127.0.0.1", int(os.environ["MASTER_PORT"])
        dist.TCPStore(host, port, is_master=False).set("here/1", "elsewhere")

    late = threading.Thread(target=follow)
    late.start()
    began = time.monotonic()
    store = rendezvous.meet(20)
    assert 0.4 < time.monotonic() - began < 10
    assert store.check(["here/0", "here/1"])
    late.join()


def test_the_attempts_of_a_launcher_do_not_see_the_marks_of_earlier_ones(ranks, monkeypatch):
    ranks(0, 1)
    store = rendezvous.open_store(5)
    store.set("failed", "1 the first attempt")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not rendezvous.open_store(5).check(["failed"])


def test_a_rank_that_has_come_has_given_a_sign_of_life_which_a_later_connection_keeps(ranks):
    ranks(0, 1)
    store = rendezvous.open_store(5)
    assert store.get("beat/0") == b"0"
    store.set("beat/0", "7")
    assert rendezvous.open_store(5).get("beat/0") == b"7"


def test_a_failure_is_left_for_the_others(ranks):
    ranks(0, 2)
    store = rendezvous.open_store(5)
    store.set("here/1", "node7")
    with pytest.raises(ValueError, match="a bug"), rendezvous.reporting(store):
        raise ValueError("a bug")
    assert rendezvous.failure_of_others(store) is None  # one's own
    ranks(1, 2)
    store.set("here/0", "node3")
    assert rendezvous.failure_of_others(store) == "Rank 0 of 2 (node3) failed: a bug"
    with pytest.raises(OSError, match="follows"), rendezvous.reporting(store):
        raise OSError("what follows from it")
    assert rendezvous.failure_of_others(store) == "Rank 0 of 2 (node3) failed: a bug"
