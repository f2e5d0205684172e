"""Under an outer launcher (torchrun): rank 0 composes the configuration, the others wait for its job."""

import functools
import json
import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from torch.distributed import Store

from callbacks.signals import StopSignal
from entry.distributed import rendezvous
from entry.errors import FAILURES, REQUEST_ERRORS, RunStopped, exit_code
from entry.hardware import choose
from entry.job import Job, carry_out
from entry.request import rank, world_size
from entry.run import Run
from run_folder import RunFolder

PATIENCE = timedelta(hours=2)  # for rank 0 to check its data
LEAVING = timedelta(seconds=10)
_JOB = "job"


@functools.cache
def _shared_store() -> Store:
    """The store that all ranks share: made once, and open until this process, which may be its host, ends."""
    return rendezvous.meet()


def share(job: Job, run: Run, signal: StopSignal) -> None:
    """On rank 0: send the job to the others, and do it with them."""
    store = _shared_store()
    store.set(_JOB, job.to_json())
    with rendezvous.together(store, run.machine.accelerator):
        carry_out(job, signal, run)


def dismiss(code: int) -> None:
    """On rank 0: send the others the exit code, where they have not received a job."""
    if _shared_store.cache_info().currsize:  # they have received a job
        return
    store = _shared_store()
    store.set(_JOB, json.dumps(code))
    others = [_left(number) for number in range(1, world_size())]
    store.wait(others, LEAVING)  # the store may live in this process


def follow() -> int:
    """On the other ranks: wait for a job, do it, and return the exit code."""
    signal = StopSignal()
    try:
        store = rendezvous.meet()
        store.wait([_JOB], PATIENCE)
        received = json.loads(store.get(_JOB))
        if isinstance(received, int):
            store.set(_left(rank()), "")
            return received
        job = Job.from_json(store.get(_JOB).decode())
        folder = RunFolder.open(Path(job.folder))
        accelerator = choose(job.settings().trainer).accelerator
        with signal.listening(), folder.in_use(), rendezvous.together(store, accelerator):
            carry_out(job, signal)
    except (*REQUEST_ERRORS, *FAILURES, RunStopped, dist.DistError) as error:
        print(f"rank {os.environ['RANK']}: {error}", file=sys.stderr, flush=True)
        return exit_code(error)
    except Exception as error:  # noqa: BLE001  a bug keeps its traceback
        traceback.print_exc()
        return exit_code(error)
    return exit_code(None)


def _left(rank: int) -> str:
    return f"left/{rank}"
