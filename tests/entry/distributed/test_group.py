"""The process group of a rank of this process, and the messages where it cannot be formed or an exchange fails."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from entry.distributed import group, rendezvous
from entry.distributed.group import together
from entry.distributed.peers import Peers
from entry.errors import RankError


def test_ranks_form_a_group_inside_and_none_afterwards(ranks):
    ranks(0, 1)
    with together(rendezvous.meet(5), "cpu", Peers()):
        assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "gloo")
        total = torch.tensor([3])
        dist.all_reduce(total)
        assert total.item() == 3
    assert not dist.is_initialized()


def test_an_exchange_waits_for_a_rank_that_copies_its_data_first(ranks, monkeypatch):
    ranks(0, 1)
    form, limits = dist.init_process_group, []
    monkeypatch.setattr(
        dist, "init_process_group", lambda *a, **keys: limits.append(keys["timeout"]) or form(*a, **keys)
    )
    with together(rendezvous.meet(5), "cpu", Peers()):
        pass
    assert limits == [timedelta(hours=2)]  # torch's own are 30 minutes, and 10 with NCCL


def test_ranks_that_do_not_become_ready_are_named(ranks):
    ranks(0, 2)
    store = rendezvous.open_store(5)
    store.set("here/1", "node7")
    with (
        pytest.raises(RankError, match=r"After 0\.3 s 1 of 2 ranks are not ready: 1 \(node7\)"),
        together(store, "cpu", Peers(), 0.3),
    ):
        pass


def test_ranks_that_meet_but_cannot_reach_one_another_get_the_address_and_the_variable(ranks, monkeypatch):
    ranks(0, 1)
    monkeypatch.setattr(group.socket, "gethostname", lambda: "localhost")

    def refuse(*_, **__):
        raise RuntimeError("Gloo connectFullMesh failed: Connection refused, remote=[127.0.1.1]:22961\nfrom frame 0")

    monkeypatch.setattr(dist, "init_process_group", refuse)
    with pytest.raises(RankError) as error, together(rendezvous.meet(5), "cpu", Peers()):
        pass
    assert "cannot reach one another. They use the address of each host's name (here localhost: 127.0.0.1)" in str(
        error.value
    )
    assert "GLOO_SOCKET_IFNAME=eth0 (Gloo connectFullMesh failed: Connection refused, remote=[127.0.1.1]:22961)" in str(
        error.value
    )


def test_an_exchange_with_a_rank_that_has_ended_is_a_sentence_and_another_error_stays_itself(ranks):
    ranks(0, 1)
    peers, store = Peers(), rendezvous.meet(5)
    peers.advice = "Go on with it."
    message = "[gloo/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:4711"
    with pytest.raises(RankError) as error, together(store, "cpu", peers):
        raise RuntimeError(message)
    assert (
        str(error.value) == f"Another rank has ended, or its machine or the network is lost: {message}. Go on with it."
    )
    dist.destroy_process_group()
    with pytest.raises(RuntimeError, match="mat1 and mat2"), together(store, "cpu", peers):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    dist.destroy_process_group()
