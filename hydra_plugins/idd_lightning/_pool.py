"""Running the jobs of a sweep, each in a process of its own, as many at once as there are slots."""

import contextlib
import ctypes
import fcntl
import math
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, Protocol

from hydra_plugins.idd_lightning._jobs import Job, Record, Source, Sweep, exit_code, last_lines, typed
from hydra_plugins.idd_lightning._slots import Slot, environment_of, free_slots
from run_folder import now

POLL_SECONDS = 0.1
ECHO_SECONDS = 0.3  # in which a signal's repetition is ignored: batch systems send it to a process and to its parents
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
TAIL = 8  # lines of a failed job's log that are printed
PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when its parent has died


class Screen(Protocol):
    """Shows the jobs while they run."""

    def started(self, record: Record) -> None:
        """A job was started."""

    def ended(self, record: Record, reason: str) -> None:
        """A job has ended; `reason`: the last lines of its log where it failed or was refused."""

    def note(self, text: str) -> None:
        """A line beside the jobs."""

    def update(self, running: Sequence[Record], waiting: int | None) -> None:
        """Called again and again; `waiting`: how many have not been started, where that is known."""


@dataclass
class Running:
    """A job and its process."""

    job: Job
    record: Record
    slots: list[Slot]
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    before: float  # seconds of earlier attempts
    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Of all attempts."""
        return self.before + time.monotonic() - self.began


class Pool:
    """The processes of a sweep.

    `prepare` finds out the hash of a job's settings and the GPUs that it needs; `command` returns what to run for it.
    """

    def __init__(
        self,
        sweep: Sweep,
        slots: Sequence[Slot],
        prepare: Callable[[Job], None],
        command: Callable[[Job], list[str]],
        screen: Screen,
        *,
        retries: int = 0,
        stop_on_failure: bool = False,
    ) -> None:
        self.sweep, self.slots, self.prepare, self.command, self.screen = sweep, slots, prepare, command, screen
        self.retries, self.stop_on_failure = retries, stop_on_failure
        self.running: list[Running] = []
        self.states: dict[int, str] = {}  # in which jobs have ended
        self._again: deque[Job] = deque()  # jobs that could not be started yet, or are retried
        self._attempts: dict[int, int] = {}
        self._elsewhere: set[int] = set()
        self._stopping = self._signalled = False

    def run(self, source: Source) -> int:
        """Run all jobs. Returns the exit code: 1 if any failed or was stopped, else 2 if any was refused, else 0.

        After a signal the jobs are stopped, and the earlier handler is called for it. Once more ends them at once.
        """
        with signals_received() as (received, earlier):
            try:
                while self._step(source, received):
                    time.sleep(POLL_SECONDS)
            finally:  # also after an error of our own no job stays behind
                for each in self.running:
                    self._send(each, signal.SIGKILL)
                self.sweep.write_table(source.waiting())
        if received:
            self.screen.note(f"To go on: python train.py -m {typed('sweep.resume', self.sweep.path)}")
            return hand_on(received[0], earlier)
        return exit_code({*self.states.values()})

    def _step(self, source: Source, received: list[int]) -> bool:
        """Look after the jobs once; false when there is nothing left to do."""
        if received and not self._signalled:
            self._stopping = self._signalled = True
            name = signal.Signals(received[0]).name
            self.screen.note(f"{name}: the jobs stop after their step. Once more ends them at once.")
            for each in self.running:
                self._send(each, received[0])
        if len(received) > 1:
            for each in self.running:
                self._send(each, signal.SIGKILL)
        for each in [each for each in self.running if each.process.poll() is not None]:
            self.running.remove(each)
            self._end(each, source)
        if not self._stopping:
            self._fill(source)
        self.screen.update([each.record for each in self.running], self._left(source))
        return bool(self.running or (self._again and not self._stopping))

    def _left(self, source: Source) -> int | None:
        return None if source.total is None else source.total - len(self.states) - len(self.running)

    def _fill(self, source: Source) -> None:
        """Start jobs while there is room for the next one, whatever comes after it: one that needs many GPUs gets them."""
        held = [self._again.popleft() for _ in range(len(self._again))]  # looked at once each
        while free_slots(self.slots, self._busy(), 1) and len(self._again) <= len(self.slots):
            job = held.pop(0) if held else source.next()
            if job is None:
                break
            if job.hash is None:
                self.prepare(job)
            taken = free_slots(self.slots, self._busy(), job.devices)
            if taken is None:
                held.insert(0, job)
                break
            if not self._start(job, taken, source):
                self._again.append(job)
        self._again.extend(held)

    def _busy(self) -> list[Slot]:
        return [slot for each in self.running for slot in each.slots]

    def _start(self, job: Job, taken: list[Slot], source: Source) -> bool:
        """Start a job, or keep what it has left; false where another process is still at work on it."""
        log = self.sweep.log(job.number).open("ab")
        try:  # held by the job's processes as well: after a kill of this one, nobody else takes the job while they run
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.close()
            if job.number not in self._elsewhere:
                self._elsewhere.add(job.number)
                self.screen.note(f"Job {job.number} runs in a process of another sweep command; it is looked at again.")
            return False
        except OSError:
            pass  # a file system without locks
        self.sweep.refresh_one(job.number)
        record = self.sweep.records.get(job.number) or Record(job.number, list(job.overrides))
        self.sweep.catch_up(record)
        if self._is_kept(record):
            log.close()
            self._settle(job, record, source)
            return True
        self._attempts[job.number] = self._attempts.get(job.number, 0) + 1
        record.hash = job.hash
        record.state, record.exit_code, record.started, record.slot = "running", None, now(), taken[0].number
        record.attempts += 1
        self.sweep.keep(record)
        environment = environment_of(taken, len(self.slots), os.environ) | {"PYTHONUNBUFFERED": "1"}
        environment.setdefault("WANDB_RUN_GROUP", self.sweep.group)
        process = subprocess.Popen(  # noqa: S603
            self.command(job),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # the terminal sends Ctrl-C to this process alone, which passes it on
            preexec_fn=_end_with_parent(),  # noqa: PLW1509  this process has no other threads
        )
        self.running.append(Running(job, record, taken, process, log, record.seconds or 0.0))
        self.screen.started(record)
        self.sweep.write_table(source.waiting())
        return True

    def _is_kept(self, record: Record) -> bool:
        """Whether a job stays as it ended: a failed one is run again where `retries` allow one more attempt."""
        if record.state == "failed":
            return self._attempts.get(record.number, 1) > self.retries
        return record.state in ("finished", "pruned")

    def _end(self, each: Running, source: Source) -> None:
        """Record how a job's process ended."""
        each.log.close()
        record = each.record
        self.sweep.end(record, each.process.returncode, each.seconds(), stopped=self._signalled)
        self.screen.ended(
            record,
            "\n".join(last_lines(self.sweep.log(record.number), TAIL)) if record.state in ("failed", "refused") else "",
        )
        if record.state == "failed" and not self._is_kept(record) and not self._stopping:
            self._again.append(each.job)
        else:
            self._settle(each.job, record, source)
        self.sweep.write_table(source.waiting())

    def _settle(self, job: Job, record: Record, source: Source) -> None:
        self.states[record.number] = record.state
        source.ended(job, record)
        if record.state == "failed" and self.stop_on_failure and not self._stopping:
            self._stopping = True
            self.screen.note("on_failure=stop: no further job is started.")

    def _send(self, each: Running, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(each.process.pid, number)
            each.process.send_signal(number)


@contextlib.contextmanager
def signals_received() -> Iterator[tuple[list[int], dict[int, object]]]:
    """Note signals inside the block, instead of what handled them before."""
    received: list[int] = []
    last = -math.inf

    def note(number: int, _: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last > ECHO_SECONDS:
            received.append(number)
        last = time.monotonic()

    earlier: dict[int, object] = {}
    for each in SIGNALS:
        if signal.getsignal(each) not in (None, signal.SIG_IGN):  # ignored, as SIGHUP under nohup
            earlier[each] = signal.signal(each, note)
    try:
        yield received, earlier
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def hand_on(number: int, earlier: dict[int, object]) -> int:
    """Call the handler that a signal had before `signals_received`, and return the exit code."""
    handler = earlier[number]
    if callable(handler):
        handler(number, None)
    return 128 + number


def _end_with_parent() -> Callable[[], None] | None:
    """What a new process calls so that it gets SIGTERM when this one dies, however it dies; None where that is not possible."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(128 + signal.SIGTERM)

    return ask
