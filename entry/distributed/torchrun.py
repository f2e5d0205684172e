"""Under an outer launcher (torchrun): rank 0 composes the configuration, the others wait for its job."""

import functools
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch.distributed as dist
from torch.distributed import Store

from callbacks.signals import StopSignal
from entry.distributed import rendezvous
from entry.distributed.assembly import assembled
from entry.distributed.group import together
from entry.distributed.peers import Peers, advice
from entry.errors import FAILURES, REQUEST_ERRORS, RankError, RunStopped, exit_code, print_failure
from entry.hardware import choose
from entry.job import Job, carry_out
from entry.request import rank, world_size
from entry.run import Run
from run_files import read_json
from run_folder import RunFolder, RunFolderError, now, write_json
from settings.run import RunSettings
from streams import print_to_stderr, waiting

PATIENCE_SECONDS = 2 * 60 * 60  # for rank 0 to check its data
LEAVING_SECONDS = 10
POLL_SECONDS = 0.2
_JOB, _MARK = "job", "mark"  # keys of the store
_peers = Peers()


@functools.cache
def _shared_store() -> Store:
    """The store that all ranks share: made once, and open until this process, which may be its host, ends."""
    return rendezvous.meet()


def lead(compose: Callable[[], int]) -> int:
    """On rank 0: carry a request out, in which `share` is called, and return its exit code; the others end with it."""
    with _peers.watching():
        code = compose()
        _dismiss(code)
    return code


def share(job: Job, run: Run, signal: StopSignal) -> None:
    """On rank 0: send the job to the others, and do it with them. Raises RankError where one of them fails."""
    store = _shared_store()
    _watch(job, run.settings)
    _peers.on_loss = lambda reason: mark_failed(run.folder.status, f"RankError: {reason}")
    with (
        rendezvous.reporting(store),
        # A folder of the same name can be on each machine's own disk.
        tempfile.TemporaryDirectory(
            prefix=".shared-", suffix=".tmp", dir=job.folder, ignore_cleanup_errors=True
        ) as mark,
    ):
        store.set(_MARK, mark)
        store.set(_JOB, job.to_json())
        with together(store, run.machine.accelerator, _peers):
            carry_out(job, signal, run)
    _peers.stop()


def _watch(job: Job, settings: RunSettings) -> None:
    """Watch the other ranks as a job's settings have it."""
    _peers.seconds = settings.trainer.timeout
    _peers.advice = advice(
        job.kind, f"the command that started this, on each machine, with train.py resume={job.folder}"
    )


def _dismiss(code: int) -> None:
    """Send the others the exit code, where they have not received a job."""
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
        with _peers.watching():
            store = rendezvous.meet()
            with rendezvous.reporting(store):
                received = _job_or_code(store)
                if isinstance(received, int):
                    store.set(rendezvous.key("left", rank()), "")
                    return received
                _follow(received, store)
    except (*REQUEST_ERRORS, *FAILURES, RunStopped, dist.DistError) as error:
        print_to_stderr(f"rank {os.environ['RANK']}: {error}")
        return exit_code(error)
    except Exception as error:  # noqa: BLE001  a bug keeps its traceback
        print_failure(error)
        return exit_code(error)
    return exit_code(None)


def _follow(job: Job, store: Store) -> None:
    if not Path(store.get(_MARK).decode()).is_dir():
        first = rendezvous.host_of(store, 0)
        raise RunFolderError(
            f"{job.folder} on {socket.gethostname()} is not the folder that {first} has under this name. All machines need the "
            "same run folder: choose one on a file system that they share, with hydra.run.dir=FOLDER"
        )
    folder, signal, settings = RunFolder.open(Path(job.folder)), StopSignal(), job.settings()
    _watch(job, settings)
    accelerator = choose(settings.trainer).accelerator
    # A file system may lock for each machine alone: then this one clears leftovers, once nobody looks for the mark any more.
    with signal.listening(), together(store, accelerator, _peers), folder.in_use():
        carry_out(job, signal, assembled(job))


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
