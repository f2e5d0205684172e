"""How the processes of a run find one another, and the store in which they leave what the others need."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore

from entry.errors import RankError
from entry.launchers import STRAY, step_name
from entry.request import rank, world_size
from streams import waiting

ARRIVAL_SECONDS = 60.0
ATTEMPT_SECONDS = 5.0  # of connecting
POLL_SECONDS = 0.2


def key(what: str, rank: int) -> str:
    """The key in the ranks' store of what one of them reports."""
    return f"{what}/{rank}"


def keys(what: str) -> list[str]:
    """Those of all ranks."""
    return [key(what, number) for number in range(world_size())]


def address() -> str:
    """Where the ranks meet."""
    return f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"


def name_of(number: int, host: str) -> str:
    """A rank as it is named to the user."""
    return f"Rank {number} of {world_size()} ({host})"


def meet(seconds: float = ARRIVAL_SECONDS) -> Store:
    """Wait until every rank has come, and return their store. Raises RankError naming those that are missing."""
    until, others = time.monotonic() + seconds, f"the other ranks of {world_size()} at {address()}"
    with waiting(f"{others}, as RANK={rank()} and WORLD_SIZE={world_size()} are set"):
        store = open_store(seconds)
        while not store.check(keys("here")):
            if time.monotonic() > until:
                absent = missing(store, "here")
                here = ", ".join(f"{o} ({host_of(store, o)})" for o in range(world_size()) if o not in absent)
                raise RankError(
                    f"After {seconds:g} s {len(absent)} of {world_size()} ranks have not come to {address()}: "
                    f"{', '.join(map(str, absent))}. There are {here}. See the output of those that are missing. {STRAY}"
                )
            time.sleep(POLL_SECONDS)
    return store


def open_store(seconds: float, over: threading.Event | None = None) -> Store:
    """A connection to the ranks' store, which rank 0 serves unless a launcher does; it has this rank's host name then.

    Raises RankError where none answers, or `over` is set before.
    """
    over = over or threading.Event()
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # Like torch's own env:// rendezvous, which would not report which ranks are missing.
    serves = rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    until = time.monotonic() + seconds
    while True:
        limit = max(1.0, min(ATTEMPT_SECONDS, until - time.monotonic()))
        try:
            if not serves:
                # torch's own client answers no signal for several times its limit, and a thread in it aborts a process that ends.
                socket.create_connection((host, port), limit).close()
            store: Store = TCPStore(
                host,
                port,
                is_master=serves,
                timeout=timedelta(seconds=limit),
                wait_for_workers=False,
                multi_tenant=True,
            )
        except (dist.DistError, OSError, RuntimeError, ValueError) as error:
            if time.monotonic() < until and not over.wait(POLL_SECONDS):
                continue
            reason = str(error).splitlines()[0]
            raise RankError(
                f"Rank {rank()} of {world_size()}: no answer at {host}:{port} within {seconds:g} s ({reason}). {STRAY}"
            ) from None
        store.set_timeout(timedelta(seconds=ARRIVAL_SECONDS))
        # A launcher repeats what failed, on the same store; two jobs of SLURM on one node may have the same port.
        attempt = step_name() or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = store if attempt == "0" else PrefixStore(attempt, store)
        store.compare_set(key("beat", rank()), "", "0")  # the first sign of life, unless there are later ones
        store.set(key("here", rank()), socket.gethostname())
        return store


@contextlib.contextmanager
def reporting(store: Store) -> Iterator[None]:
    """Where the block raises, leave the reason in the store, for the ranks that wait for this one."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(RuntimeError):  # the store has gone with rank 0
            # The first of several reasons is the cause of the others.
            store.compare_set("failed", "", f"{rank()} {str(error) or type(error).__name__}")
        raise


def failure_of_others(store: Store) -> str | None:
    """Which other rank has failed, where, and why; None where none has reported it."""
    if not store.check(["failed"]):
        return None
    number, reason = store.get("failed").decode().split(" ", maxsplit=1)
    return None if int(number) == rank() else f"{name_of(int(number), host_of(store, int(number)))} failed: {reason}"


def host_of(store: Store, other: int) -> str:
    """The host on which a rank that has come runs."""
    return store.get(key("here", other)).decode()


def missing(store: Store, what: str) -> list[int]:
    """The ranks that have not reported something."""
    return [number for number, name in enumerate(keys(what)) if not store.check([name])]
