"""The process group of the ranks, in which a run trains and evaluates."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store

from entry.distributed.peers import Peers
from entry.distributed.rendezvous import (
    ARRIVAL_SECONDS,
    POLL_SECONDS,
    address,
    failure_of_others,
    host_of,
    key,
    keys,
    missing,
)
from entry.errors import FAILURES, REQUEST_ERRORS, RankError, RunStopped
from entry.request import rank, world_size
from streams import waiting

_REST_SECONDS = 0.02
# A rank may copy and check its machine's data for long, while others wait for it in an exchange; a lost one is noticed by `Peers`.
PATIENCE = timedelta(hours=2)
_ENDED = ("connection closed by peer", "connection reset by peer", "connection refused", "broken pipe", "timed out connecting",
          "remote process exited or there was a network error")  # in messages of gloo and NCCL  # fmt: skip


@contextlib.contextmanager
def together(store: Store, accelerator: str, peers: Peers, seconds: float = ARRIVAL_SECONDS) -> Iterator[None]:
    """Form the process group; all ranks leave it together, unless one failed: with gloo a process that ends early may abort.

    Raises RankError where another rank failed before it was ready, cannot be reached, or ended inside the block.
    """
    # Threads of gloo and NCCL take Python's lock after each exchange; a process that is forked at that very moment (a data
    # loader's worker) hangs for ever in CPython before 3.12. Let them come to rest first.
    os.register_at_fork(before=lambda: time.sleep(_REST_SECONDS))
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if accelerator == "gpu" else None
    if device is not None:
        torch.cuda.set_device(device)
    _all_ready(store, seconds)
    variable = "GLOO_SOCKET_IFNAME" if device is None else "NCCL_SOCKET_IFNAME"
    unreached = (
        f"The ranks have met at {address()}, but cannot reach one another. They use the address of each host's name (here "
        f"{_own_address()}), and any port. Name the interface that leads to the other machines: {variable}=eth0"
    )
    try:
        with peers.limited(seconds, f"{unreached} (nothing for {seconds:g} s)"):
            dist.init_process_group(
                "gloo" if device is None else "nccl",
                store=PrefixStore("group", store),
                rank=rank(),
                world_size=world_size(),
                timeout=PATIENCE,
                device_id=device,
            )
    except RuntimeError as error:
        raise RankError(f"{unreached} ({str(error).splitlines()[0]})") from error
    try:
        yield
    except (*REQUEST_ERRORS, *FAILURES, RunStopped):
        raise
    except Exception as error:  # an exchange fails as well where the other rank has ended
        failure = None
        with contextlib.suppress(RuntimeError):  # the store may have gone with rank 0
            failure = failure_of_others(store)
        if failure is None and any(text in str(error).lower() for text in _ENDED):
            failure = f"Another rank has ended, or its machine or the network is lost: {str(error).splitlines()[0]}. {peers.advice}"
        if failure is None:
            raise
        raise RankError(failure) from error
    dist.barrier()
    dist.destroy_process_group()


def _all_ready(store: Store, seconds: float) -> None:
    """Wait until every rank is about to form the group. Raises RankError naming one that has failed or does not come."""
    store.set(key("ready", rank()), "")
    until = time.monotonic() + seconds
    with waiting("the other ranks to be ready"):
        while not store.check(keys("ready")):
            if (failure := failure_of_others(store)) is not None:
                raise RankError(failure)
            if time.monotonic() > until:
                late = missing(store, "ready")
                named = ", ".join(f"{other} ({host_of(store, other)})" for other in late)
                raise RankError(
                    f"After {seconds:g} s {len(late)} of {world_size()} ranks are not ready: {named}. See their output."
                )
            time.sleep(POLL_SECONDS)


def _own_address() -> str:
    host = socket.gethostname()
    try:
        return f"{host}: {socket.gethostbyname(host)}"
    except OSError:
        return f"{host}, which has none"
