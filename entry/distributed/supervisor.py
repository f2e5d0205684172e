"""Several processes of one machine: starting them, watching them, and reporting which of them failed and why."""

import contextlib
import json
import logging
import os
import signal as signals
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any

from callbacks.pruning import RunPruned
from entry.errors import REFUSED, STOPPED, RankError, RequestError, RunStopped, TrainingError
from entry.hardware import OWN_RANKS, Hardware
from entry.request import PROJECT
from streams import print_to_stderr

GRACE_SECONDS = 20  # in which ranks must end themselves when one of them has failed
POLL_SECONDS = 0.1


def run_ranks(job: str, kind: str, machine: Hardware, folder: Path) -> None:
    """Do a job (JSON) in several processes. Raises RunStopped, RunPruned, RequestError, TrainingError, RankError."""
    # In the run's folder under a name that a resume clears away: a command that is killed cannot do it.
    with tempfile.TemporaryDirectory(prefix=".ranks-", suffix=".tmp", dir=folder) as name:
        _watch(_Ranks(job, kind, machine, Path(name)))


class _Ranks:
    """The processes, of torch's own launcher in a thread; each writes its id and how it ended into `control`."""

    def __init__(self, job: str, kind: str, machine: Hardware, control: Path) -> None:
        self.count, self.control, self.kind = machine.ranks, control, kind
        self.threads = machine.threads
        self.error: BaseException | None = None
        self._job = job
        self._signalled: set[int] = set()
        self._over = threading.Event()
        threading.Thread(target=self._run, name="ranks", daemon=True).start()

    def _run(self) -> None:
        from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        # It warns that signals do not reach it in a thread: they are answered by this process's main thread.
        logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.ERROR)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=self.count,
            run_id=f"{OWN_RANKS}-{uuid.uuid4().hex}",
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            monitor_interval=POLL_SECONDS,
            shutdown_timeout=GRACE_SECONDS,
            logs_specs=DefaultLogsSpecs(log_dir=str(self.control / "logs")),
        )
        try:
            worker = ("-m", "entry.distributed.worker", self._job, str(self.control), str(self.threads))
            elastic_launch(config, sys.executable)(*worker)
        except BaseException as error:  # noqa: BLE001  handed to the thread that waits
            self.error = error
        finally:
            self._over.set()

    def running(self) -> bool:
        """Whether the launcher still has something to do."""
        # Not Thread.join: interrupted by a signal's exception, Python 3.11 takes the thread for ended.
        return not self._over.wait(POLL_SECONDS)

    def send(self, number: int) -> None:
        """Send a signal to each rank that has not had it; called again, it reaches those that came later."""
        for rank, pid in self._pids().items():
            if rank not in self._signalled:
                self._signalled.add(rank)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def kill(self) -> None:
        """End every rank at once."""
        for pid in self._pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signals.SIGKILL)
        self._over.wait(GRACE_SECONDS)

    def lost(self) -> bool:
        """Whether a rank has ended because another one gave no sign of life, or computed nothing."""
        return any(end["kind"] == "RankLostError" for end in self.ends().values())

    def ends(self) -> dict[int, dict[str, Any]]:
        """How each rank ended, of those that wrote it."""
        return {int(path.stem): json.loads(path.read_bytes()) for path in self.control.glob("[0-9]*.end")}

    def _pids(self) -> dict[int, int]:
        pids = {int(path.stem): path.read_text(encoding="utf-8") for path in self.control.glob("[0-9]*.pid")}
        return {rank: int(pid) for rank, pid in pids.items() if pid}


def _watch(ranks: _Ranks) -> None:
    """Wait for the ranks, pass a signal on, and raise what ended them."""
    wanted = 0
    try:
        while True:
            try:
                while ranks.running():
                    if wanted:
                        ranks.send(wanted)
                    if ranks.lost():  # one that is stopped does not end by itself
                        ranks.kill()
                break
            except RunStopped as stop:
                if wanted:
                    raise
                wanted = stop.number
                print_to_stderr(f"{stop}: the ranks stop after this step. Once more stops at once.")
    except BaseException:
        ranks.kill()
        raise
    _raise_end(ranks, wanted)


def _raise_end(ranks: _Ranks, wanted: int) -> None:
    ends = ranks.ends()
    bad = sorted((end for end in ends.values() if end["code"]), key=lambda end: end["time"])
    cause = next(
        (
            end
            for end in bad
            if end["kind"] in ("RunStopped", "TrainingError", "UnreadableError") or end["code"] == REFUSED
        ),
        None,
    )
    if cause is not None:
        if cause["kind"] == "RunStopped":
            raise RunStopped(cause["code"] - STOPPED)
        raise (RequestError if cause["code"] == REFUSED else TrainingError)(cause["message"])
    if ranks.error is None and not bad:
        if pruned := [end["message"] for end in ends.values() if end["kind"] == "RunPruned"]:
            raise RunPruned(pruned[0])
        return
    if wanted:  # a rank that was still starting dies of the signal
        raise RunStopped(wanted)
    raise RankError(_what_died(ranks, bad))


def _what_died(ranks: _Ranks, bad: list[dict[str, Any]]) -> str:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    from entry.distributed.peers import RankLostError, advice

    if bad and bad[0]["kind"] == RankLostError.__name__:
        return str(bad[0]["message"])
    ends = ranks.ends()
    failures = ranks.error.failures if isinstance(ranks.error, ChildFailedError) else {}
    again = advice(ranks.kind, "python train.py resume=RUN_FOLDER")
    for rank, failure in failures.items():
        if failure.exitcode < 0 and rank not in ends:
            name = signals.Signals(-failure.exitcode).name
            return f"Rank {rank} of {ranks.count} (process {failure.pid}) was ended by {name}; the others were ended too. {again}"
    if bad:
        rank = next(rank for rank, end in ends.items() if end is bad[0] or end == bad[0])
        return f"Rank {rank} of {ranks.count} failed: {bad[0]['kind']}: {bad[0]['message']}"
    return f"The ranks ended early: {ranks.error}"
