"""How the processes of a run find one another, form a group, watch whether the others still run, and leave it."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore

from entry.errors import FAILURES, REQUEST_ERRORS, RankError, RunStopped
from entry.launchers import STRAY, step_name
from entry.request import rank, world_size
from streams import print_to_stderr, waiting

ARRIVAL_SECONDS = 60.0
ATTEMPT_SECONDS = 5.0  # of connecting, in which no signal is answered
_POLL_SECONDS = 0.2
_REST_SECONDS = 0.02
BEAT_SECONDS = 1.0
SILENT_SECONDS = 120.0  # without a sign of life a rank counts as lost; a stopped debugger may take longer
GRACE_SECONDS = 20.0  # in which an exchange with the lost rank should fail by itself


def key(what: str, rank: int) -> str:
    """The key in the ranks' store of what one of them reports."""
    return f"{what}/{rank}"


def meet(seconds: float = ARRIVAL_SECONDS) -> Store:
    """Wait until every rank has come, and return their store. Raises RankError naming those that are missing."""
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    until = time.monotonic() + seconds
    with waiting(
        f"the other ranks of {world_size()} at {address}, as RANK={rank()} and WORLD_SIZE={world_size()} are set"
    ):
        store = open_store(seconds)
        store.set(key("here", rank()), socket.gethostname())
        while missing := [other for other in range(world_size()) if not store.check([key("here", other)])]:
            if time.monotonic() > until:
                here = ", ".join(f"{o} ({host_of(store, o)})" for o in range(world_size()) if o not in missing)
                raise RankError(
                    f"After {seconds:g} s {len(missing)} of {world_size()} ranks have not come to {address}: "
                    f"{', '.join(map(str, missing))}. There are {here}. See the output of those that are missing. {STRAY}"
                )
            time.sleep(_POLL_SECONDS)
    return store


def open_store(seconds: float) -> Store:
    """A connection to the ranks' store, which rank 0 serves unless a launcher does. Raises RankError where none answers."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # Like torch's own env:// rendezvous, which would not report which ranks are missing.
    serves = rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    until = time.monotonic() + seconds
    while True:
        limit = timedelta(seconds=max(1.0, min(ATTEMPT_SECONDS, until - time.monotonic())))
        try:
            store = TCPStore(host, port, is_master=serves, timeout=limit, wait_for_workers=False, multi_tenant=True)
        except (dist.DistError, RuntimeError, ValueError) as error:
            if time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
                continue
            reason = str(error).splitlines()[0]
            raise RankError(
                f"Rank {rank()} of {world_size()}: no answer at {host}:{port} within {seconds:g} s ({reason}). {STRAY}"
            ) from None
        store.set_timeout(timedelta(seconds=ARRIVAL_SECONDS))
        # A launcher repeats what failed, on the same store; two jobs of SLURM on one node may have the same port.
        attempt = step_name() or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return store if attempt == "0" else PrefixStore(attempt, store)


@contextlib.contextmanager
def reporting(store: Store) -> Iterator[None]:
    """Where the block raises, leave the reason in the store, for the ranks that wait for this one."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(RuntimeError):  # the store has gone with rank 0
            store.set(key("failed", rank()), str(error) or type(error).__name__)
        raise


def failure_of_others(store: Store) -> str | None:
    """Which other rank has failed, where, and why; None where none has reported it."""
    for other in range(world_size()):
        if other != rank() and store.check([key("failed", other)]):
            reason = store.get(key("failed", other)).decode()
            return f"Rank {other} of {world_size()} ({host_of(store, other)}) failed: {reason}"
    return None


def host_of(store: Store, other: int) -> str:
    """The host on which a rank that has come runs."""
    return store.get(key("here", other)).decode()


def _all_ready(store: Store, seconds: float) -> None:
    """Wait until every rank is about to form the group. Raises RankError naming one that has failed or does not come."""
    store.set(key("ready", rank()), "")
    until = time.monotonic() + seconds
    with waiting("the other ranks to be ready"):
        while missing := [other for other in range(world_size()) if not store.check([key("ready", other)])]:
            if (failure := failure_of_others(store)) is not None:
                raise RankError(failure)
            if time.monotonic() > until:
                named = ", ".join(f"{other} ({host_of(store, other)})" for other in missing)
                raise RankError(
                    f"After {seconds:g} s {len(missing)} of {world_size()} ranks are not ready: {named}. See their output."
                )
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def together(store: Store, accelerator: str, seconds: float = ARRIVAL_SECONDS) -> Iterator[None]:
    """Form the process group; all ranks leave it together, unless one failed: with gloo a process that ends early may abort.

    Raises RankError where another rank failed before it was ready, or ended inside the block.
    """
    # Threads of gloo and NCCL take Python's lock after each exchange; a process that is forked at that very moment (a data
    # loader's worker) hangs for ever in CPython before 3.12. Let them come to rest first.
    os.register_at_fork(before=lambda: time.sleep(_REST_SECONDS))
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if accelerator == "gpu" else None
    if device is not None:
        torch.cuda.set_device(device)
    _all_ready(store, seconds)
    dist.init_process_group(
        "gloo" if device is None else "nccl",
        store=PrefixStore("group", store),
        rank=rank(),
        world_size=world_size(),
        device_id=device,
    )
    try:
        yield
    except (*REQUEST_ERRORS, *FAILURES, RunStopped):
        raise
    except Exception as error:  # an exchange fails as well where the other rank has ended
        failure = failure_of_others(store)
        if failure is None:
            raise
        raise RankError(failure) from error
    dist.barrier()
    dist.destroy_process_group()


@contextlib.contextmanager
def watched(on_loss: Callable[[str], None]) -> Iterator[None]:
    """Inside the block, give signs of life, and end this process if another rank is lost.

    An exchange between ranks can wait for half an hour, and nothing in this process interrupts it. `on_loss` is called with
    the reason, in a thread, before the process ends with exit code 1.
    """
    over = threading.Event()
    store = open_store(ARRIVAL_SECONDS)  # of its own: one that waits for a key blocks other threads

    def watch() -> None:
        reason = _reason_to_end(store, over)
        if reason is not None and not over.wait(GRACE_SECONDS):
            print_to_stderr(f"rank {rank()}: {reason}")
            on_loss(reason)
            os._exit(1)

    threading.Thread(target=watch, name="peers", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _reason_to_end(store: Store, over: threading.Event) -> str | None:
    """Watch until a rank is lost, and return why; None when `over` is set."""
    others = [other for other in range(world_size()) if other != rank()]
    last = dict.fromkeys(others, (b"", time.monotonic()))  # the beat of each, and when it came
    beat = 0
    while not over.wait(BEAT_SECONDS):
        beat += 1
        try:
            store.set(key("beat", rank()), str(beat))
            if (failure := failure_of_others(store)) is not None:
                return failure
            for other in others:
                found = store.get(place) if store.check([place := key("beat", other)]) else b""
                if found != last[other][0]:
                    last[other] = (found, time.monotonic())
                elif time.monotonic() - last[other][1] > SILENT_SECONDS:
                    lost = f"Rank {other} of {world_size()} ({host_of(store, other)})"
                    return f"{lost} has given no sign of life for {SILENT_SECONDS:g} s."
        except RuntimeError:
            return "The ranks' store does not answer: rank 0, or the launcher, has ended. See its output."
    return None
