"""Under an outer launcher (torchrun): rank 0 composes the configuration, the others wait for its job."""

import functools
import json
import os
import socket
import time
from pathlib import Path

import torch.distributed as dist
from torch.distributed import Store

from callbacks.signals import StopSignal
from entry.distributed import rendezvous
from entry.errors import FAILURES, REQUEST_ERRORS, RankError, RunStopped, exit_code, print_failure
from entry.hardware import choose
from entry.job import Job, carry_out
from entry.request import rank, world_size
from entry.run import Run
from run_folder import RunFolder, now, read_json, write_json
from streams import print_to_stderr, waiting

PATIENCE_SECONDS = 2 * 60 * 60  # for rank 0 to check its data
LEAVING_SECONDS = 10
POLL_SECONDS = 0.2
_JOB = "job"


@functools.cache
def _shared_store() -> Store:
    """The store that all ranks share: made once, and open until this process, which may be its host, ends."""
    return rendezvous.meet()


def share(job: Job, run: Run, signal: StopSignal) -> None:
    """On rank 0: send the job to the others, and do it with them. Raises RankError where one of them fails."""
    store = _shared_store()
    store.set(_JOB, job.to_json())
    with (
        rendezvous.reporting(store),
        rendezvous.watched(lambda reason: mark_failed(run.folder.status, f"RankError: {reason}")),
        rendezvous.together(store, run.machine.accelerator),
    ):
        carry_out(job, signal, run)


def dismiss(code: int) -> None:
    """On rank 0: send the others the exit code, where they have not received a job."""
    if _shared_store.cache_info().currsize:  # they have received a job
        return
    try:
        store = _shared_store()
    except RankError as error:  # then nobody waits for it
        print_to_stderr(str(error))
        return
    store.set(_JOB, json.dumps(code))
    until = time.monotonic() + LEAVING_SECONDS
    others = [rendezvous.key("left", number) for number in range(1, world_size())]
    while not store.check(others) and time.monotonic() < until:  # the store may live in this process
        time.sleep(POLL_SECONDS)


def follow() -> int:
    """On the other ranks: wait for a job, do it, and return the exit code."""
    try:
        store = rendezvous.meet()
        with rendezvous.reporting(store):
            received = _job_or_code(store)
            if isinstance(received, int):
                store.set(rendezvous.key("left", rank()), "")
                return received
            folder, signal = RunFolder.open(Path(received.folder)), StopSignal()
            accelerator = choose(received.settings().trainer).accelerator
            group = rendezvous.together(store, accelerator)
            with signal.listening(), folder.in_use(), rendezvous.watched(lambda _: None), group:
                carry_out(received, signal)
    except (*REQUEST_ERRORS, *FAILURES, RunStopped, dist.DistError) as error:
        print_to_stderr(f"rank {os.environ['RANK']}: {error}")
        return exit_code(error)
    except Exception as error:  # noqa: BLE001  a bug keeps its traceback
        print_failure(error)
        return exit_code(error)
    return exit_code(None)


def _job_or_code(store: Store) -> Job | int:
    """Wait for rank 0's job, or for the exit code of a request that it refused. Raises RankError where neither comes."""
    until = time.monotonic() + PATIENCE_SECONDS
    with waiting("rank 0, which checks the request and the data"):
        while not store.check([_JOB]):
            if (failure := rendezvous.failure_of_others(store)) is not None:
                raise RankError(failure)
            if time.monotonic() > until:
                raise RankError(f"Rank 0 has sent no job within {PATIENCE_SECONDS} s. See its output.")
            time.sleep(POLL_SECONDS)
    text = store.get(_JOB).decode()
    received = json.loads(text)
    return received if isinstance(received, int) else Job.from_json(text)


def mark_failed(path: Path, error: str) -> None:
    """Write state ``failed`` into a status file of this process, just before it ends without being able to finish it."""
    facts = read_json(path)
    if (facts["state"], facts["pid"], facts["host"]) == ("running", os.getpid(), socket.gethostname()):
        write_json(path, facts | {"state": "failed", "exit_code": 1, "error": error, "finished": now()})
