"""Ranks that find one another at a store on this machine, and the message where some do not come."""

import os
import threading
import time

import pytest
import torch
import torch.distributed as dist

from entry.distributed import rendezvous
from entry.errors import RankError
from tests.entry.distributed.test_supervisor import free_port


@pytest.fixture
def ranks(monkeypatch):
    """A function that makes this process the rank of a number of ranks."""
    port = str(free_port())

    def be(rank, count, port=port):
        for name, value in {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():  # fmt: skip
            monkeypatch.setenv(name, str(value))
        return f"127.0.0.1:{port}"

    return be


def test_missing_ranks_are_named(ranks):
    address = ranks(0, 4)
    with pytest.raises(RankError) as error:
        rendezvous.meet(0.3)
    assert f"After 0.3 s 3 of 4 ranks have not come to {address}: 1, 2, 3. There are 0 (" in str(error.value)


def test_a_rank_finds_no_first_rank(ranks):
    address = ranks(1, 2)
    with pytest.raises(RankError, match=f"Rank 1 of 2: no answer at {address} within 1 s"):
        rendezvous.meet(1)


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


def test_ranks_form_a_group_inside_and_none_afterwards(ranks):
    ranks(0, 1)
    with rendezvous.together(rendezvous.meet(5), "cpu"):
        assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "gloo")
        total = torch.tensor([3])
        dist.all_reduce(total)
        assert total.item() == 3
    assert not dist.is_initialized()
