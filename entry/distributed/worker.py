"""One of several processes of a run: python -m entry.distributed.worker JOB FOLDER. Started by `entry.distributed.launch`, never by hand."""

import json
import math
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callbacks.signals import StopSignal
    from entry.job import Job

LOOK_SECONDS = 0.5


def main(job_text: str, control: Path) -> int:
    """Do this rank's part of a job; what came of it goes into `control`, where the door reads it."""
    rank = int(os.environ["RANK"])
    (control / f"{rank}.pid").write_text(str(os.getpid()))
    _follow_into_death(os.getppid())
    from callbacks.signals import StopSignal
    from entry.errors import FAILURES, REQUEST_ERRORS, RunStopped, exit_code
    from entry.job import Job

    signal = StopSignal(echo_seconds=math.inf)  # what it hears twice comes from outside and from the door
    error: BaseException | None = None
    try:
        with signal.listening():
            _part(Job.from_json(job_text), signal)
    except RunStopped as stop:
        error = stop
    except (*REQUEST_ERRORS, *FAILURES) as failure:  # the door speaks
        error = failure
    except Exception as failure:  # noqa: BLE001  a bug keeps its traceback
        error = failure
        traceback.print_exc()
    end = {
        "kind": None if error is None else type(error).__name__,
        "message": None if error is None else str(error),
        "code": exit_code(error),
        "time": time.time(),
    }
    temporary = control / f".{rank}.end"
    temporary.write_text(json.dumps(end))
    temporary.rename(control / f"{rank}.end")
    return 0 if error is None or isinstance(error, RunStopped) else 1


def _part(job: "Job", signal: "StopSignal") -> None:
    """Meet the others, work with them, and part."""
    from entry import hardware
    from entry.distributed import rendezvous
    from entry.job import carry_out
    from run_folder import RunFolder

    with RunFolder.open(Path(job.folder)).in_use():
        store = rendezvous.meet()
        accelerator = hardware.choose(job.settings().trainer).accelerator
        with rendezvous.together(store, accelerator):
            carry_out(job, signal)


def _follow_into_death(parent: int) -> None:
    """End when the door has died without a word: nobody would keep status.json true, or end the others."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=look, name="parent", daemon=True).start()


if __name__ == "__main__":
    code = main(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of gloo and of data loaders have nothing to say any more, and sometimes abort an orderly exit.
    os._exit(code)
