"""One of several processes of a run, started by `entry.distributed.supervisor`: python -m entry.distributed.worker JOB FOLDER THREADS."""

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from streams import guarded_streams

if TYPE_CHECKING:
    from callbacks.signals import StopSignal
    from entry.job import Job

POLL_SECONDS = 0.5


def main(job_text: str, control: Path) -> int:
    """Do this rank's part of a job, and write how it ended into `control`, where the supervisor reads it."""
    rank = int(os.environ["RANK"])
    (control / f"{rank}.pid").write_text(str(os.getpid()), encoding="utf-8")
    _end_with_parent(os.getppid())
    from callbacks.signals import StopSignal
    from entry.distributed.peers import RankLostError
    from entry.errors import FAILURES, REQUEST_ERRORS, RunStopped, exit_code, print_failure, shortage
    from entry.job import Job

    def write_end(error: BaseException | None) -> None:
        end = {
            "kind": None if error is None else type(error).__name__,
            "message": None if error is None else shortage(error) or str(error),
            "code": exit_code(error),
            "time": time.time(),
        }
        temporary = control / f".{rank}.end"
        temporary.write_text(json.dumps(end), encoding="utf-8")
        temporary.rename(control / f"{rank}.end")

    signal = StopSignal(echo_seconds=math.inf)  # the same signal comes from outside and from the supervisor
    error: BaseException | None = None
    try:
        with signal.listening():
            _part(Job.from_json(job_text), signal, lambda reason: write_end(RankLostError(reason)))
    except (*REQUEST_ERRORS, *FAILURES, RunStopped) as ended:  # the supervisor prints it
        error = ended
    except Exception as failure:  # noqa: BLE001  a bug keeps its traceback
        error = failure
        print_failure(failure)
    write_end(error)
    return 0 if error is None or isinstance(error, RunStopped) else 1


def _part(job: "Job", signal: "StopSignal", on_loss: Callable[[str], None]) -> None:
    """Join the process group, do the job, and leave it."""
    from entry import hardware
    from entry.distributed import peers, rendezvous
    from entry.distributed.assembly import assembled
    from entry.distributed.group import together
    from entry.job import carry_out
    from run_folder import RunFolder

    settings = job.settings()
    others = peers.Peers(settings.trainer.timeout, one_machine=True)
    others.advice, others.on_loss = peers.advice(job.kind, f"python train.py resume={job.folder}"), on_loss
    with RunFolder.open(Path(job.folder)).in_use(), others.watching():
        store = rendezvous.meet()
        accelerator = hardware.choose(settings.trainer).accelerator
        with together(store, accelerator, others):
            carry_out(job, signal, assembled(job))


def _end_with_parent(parent: int) -> None:
    """End when the supervisor has been killed: nobody would keep status.json true, or end the others."""

    def poll() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=poll, name="parent", daemon=True).start()


if __name__ == "__main__":
    # Read when OpenMP is loaded, before torch's own setting: otherwise a rank begins with a thread for each core.
    os.environ.setdefault("OMP_NUM_THREADS", sys.argv[3])
    with guarded_streams():
        code = main(sys.argv[1], Path(sys.argv[2]))
    # The remaining threads of gloo and of data loaders sometimes abort an orderly exit.
    os._exit(code)
