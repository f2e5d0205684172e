"""How the processes of a run find one another, form a group, and leave it."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore

from entry.errors import RankError

ARRIVAL_SECONDS = 60.0
_POLL_SECONDS = 0.2
_REST_SECONDS = 0.02


def meet(seconds: float = ARRIVAL_SECONDS) -> Store:
    """Wait until every rank has come, and return their store. Raises RankError naming those that are missing."""
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    address = f"{host}:{port}"
    # Like torch's own env:// rendezvous, which would not report which ranks are missing.
    serves = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    limit = timedelta(seconds=seconds)
    try:
        store = TCPStore(host, port, is_master=serves, timeout=limit, wait_for_workers=False, multi_tenant=True)
    except (dist.DistError, RuntimeError, ValueError) as error:
        raise RankError(
            f"Rank {rank} of {world_size}: no answer at {address} within {seconds:g} s ({error})."
        ) from None
    store.set(_mark(rank), socket.gethostname())
    until = time.monotonic() + seconds
    while missing := [other for other in range(world_size) if not store.check([_mark(other)])]:
        if time.monotonic() > until:
            here = ", ".join(f"{o} ({store.get(_mark(o)).decode()})" for o in range(world_size) if o not in missing)
            raise RankError(
                f"After {seconds:g} s {len(missing)} of {world_size} ranks have not come to {address}: "
                f"{', '.join(map(str, missing))}. There are {here}. See the output of those that are missing."
            )
        time.sleep(_POLL_SECONDS)
    return store


@contextlib.contextmanager
def together(store: Store, accelerator: str) -> Iterator[None]:
    """Form the process group; all ranks leave it together, unless one failed: with gloo a process that ends early may abort."""
    # Threads of gloo and NCCL take Python's lock after each exchange; a process that is forked at that very moment (a data
    # loader's worker) hangs for ever in CPython before 3.12. Let them come to rest first.
    os.register_at_fork(before=lambda: time.sleep(_REST_SECONDS))
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if accelerator == "gpu" else None
    if device is not None:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "gloo" if device is None else "nccl",
        store=PrefixStore("group", store),
        rank=rank,
        world_size=world_size,
        device_id=device,
    )
    yield
    dist.barrier()
    dist.destroy_process_group()


def _mark(rank: int) -> str:
    return f"here/{rank}"
