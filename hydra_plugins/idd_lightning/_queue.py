"""The jobs of a sweep in SLURM's queue: submitting them, and following what becomes of them, also of those submitted elsewhere."""

import subprocess
import time
from collections.abc import Callable, Sequence

from hydra_plugins.idd_lightning._jobs import ENDED, Job, Record, Source, Sweep, exit_code, last_lines, locked, typed
from hydra_plugins.idd_lightning._pool import TAIL, Screen, hand_on, signals_received

LOOK_SECONDS = 5.0  # between two questions to SLURM's controller
POLL_SECONDS = 0.5
OVER = {
    "CANCELLED": "stopped",
    "COMPLETED": "finished",
}  # the state of a job that was not recorded, by SLURM's; others: failed
GONE = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")


class Queue:
    """The jobs of a sweep, as SLURM runs them.

    `submit` hands jobs to SLURM and returns their numbers there. At most `at_once` of them are in the queue; None: all.
    """

    def __init__(
        self,
        sweep: Sweep,
        prepare: Callable[[Job], None],
        submit: Callable[[Sequence[Job]], list[str]],
        screen: Screen,
        *,
        at_once: int | None,
        retries: int = 0,
        stop_on_failure: bool = False,
        wait: bool = True,
    ) -> None:
        self.sweep, self.prepare, self.submit, self.screen = sweep, prepare, submit, screen
        self.at_once, self.retries, self.stop_on_failure, self.wait = at_once, retries, stop_on_failure, wait
        self.states: dict[int, str] = {}  # in which jobs have ended
        self.inside: dict[int, Job] = {}  # jobs in the queue
        self._shown: set[int] = set()
        self._attempts: dict[int, int] = {}
        self._stopping = False

    def run(self, source: Source) -> int:
        """Submit all jobs, and follow them to their end. Returns the exit code, as `Pool.run` does.

        After a signal the jobs stay in the queue, and the earlier handler is called for it.
        """
        with signals_received() as (received, earlier):
            due = 0.0
            while not received:
                if time.monotonic() >= due:
                    self._look(source)
                    self._fill(source)
                    if not self.inside or not self.wait:
                        break
                    due = time.monotonic() + LOOK_SECONDS
                records = [self.sweep.records[number] for number in self.inside]
                running = [record for record in records if record.state == "running"]
                left = None if source.total is None else source.total - len(self.states) - len(running)
                self.screen.update(running, left)
                time.sleep(POLL_SECONDS)
        self.sweep.write_table(source.waiting())
        if self.inside:
            numbers = " ".join(
                sorted({str(self.sweep.records[each].slurm_job).partition("_")[0] for each in self.inside})
            )
            self.screen.note(f"{len(self.inside)} jobs are in SLURM's queue, whether anybody follows them or not.")
            self.screen.note(
                f"To follow them, or to go on: python train.py -m {typed('sweep.resume', self.sweep.path)}"
            )
            self.screen.note(f"To cancel them: scancel {numbers}")
        if received:
            return hand_on(received[0], earlier)
        return exit_code({*self.states.values()})

    def _fill(self, source: Source) -> None:
        """Submit what there is room for; a job that is in the queue already is followed, one that has ended is kept."""
        found: list[Job] = []
        with locked(self.sweep.path / "jobs"):  # two commands, or a job's own process, may work on the records
            queue = None
            while not self._stopping and (self.at_once is None or len(self.inside) + len(found) < self.at_once):
                job = source.next()
                if job is None:
                    break
                if job.hash is None:
                    self.prepare(job)
                self.sweep.refresh_one(job.number)
                record = self.sweep.records.setdefault(job.number, Record(job.number, list(job.overrides)))
                if record.slurm_job is not None and record.state not in ("finished", "pruned"):
                    queue = slurm_states() if queue is None else queue
                    if queue is None or queue.get(record.slurm_job, GONE[0]) not in GONE:
                        self.inside[job.number] = job
                        continue
                self.sweep.catch_up(record)
                if record.state in ("finished", "pruned") or (record.state == "failed" and not self.retries):
                    self._settle(job, record, source)
                else:
                    found.append(job)
            self._submit(found)

    def _submit(self, jobs: Sequence[Job]) -> None:
        for job, number in zip(jobs, self.submit(jobs) if jobs else (), strict=True):
            record = self.sweep.records[job.number]
            record.hash, record.state, record.exit_code, record.slurm_job = job.hash, "waiting", None, number
            self.sweep.keep(record)
            self.inside[job.number] = job
            self._attempts[job.number] = self._attempts.get(job.number, 0) + 1

    def _look(self, source: Source) -> None:
        """See what has become of the jobs in the queue."""
        queue = slurm_states() if self.inside else None
        if queue is None:  # nothing to look for, or the controller does not answer
            return
        for number, job in list(self.inside.items()):
            self.sweep.refresh_one(number)
            record = self.sweep.records[number]
            state = queue.get(str(record.slurm_job))  # None: it ended some minutes ago
            if record.state == "running" and number not in self._shown:
                self._shown.add(number)
                self.screen.started(record)
            if state is None or state in GONE:
                self._end(job, record, state, source)

    def _end(self, job: Job, record: Record, state: str | None, source: Source) -> None:
        """A job has left the queue; one whose end its own process could not record was ended by SLURM."""
        self.sweep.catch_up(record)
        reason = ""
        if record.state not in ENDED:
            record.state = OVER.get(str(state), "failed")
            reason = (
                f"SLURM's job {record.slurm_job} ended without a record of it: {state or 'it is not in the queue'}."
            )
            self.sweep.keep(record)
        elif record.state in ("failed", "refused"):
            reason = "\n".join(last_lines(self.sweep.log(record.number), TAIL))
        del self.inside[job.number]
        self._shown.discard(job.number)
        self.screen.ended(record, reason)
        if record.state == "failed" and self._attempts.get(job.number, 0) <= self.retries and not self._stopping:
            with locked(self.sweep.path / "jobs"):
                self._submit([job])
        else:
            self._settle(job, record, source)
        self.sweep.write_table(source.waiting())

    def _settle(self, job: Job, record: Record, source: Source) -> None:
        self.states[record.number] = record.state
        source.ended(job, record)
        if record.state == "failed" and self.stop_on_failure:
            self._stopping = True


def slurm_states() -> dict[str, str] | None:
    """The state of each job of this user that SLURM has in memory, by its number; None where the controller does not answer."""
    command = ["squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i %T"]
    answer = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    if answer.returncode:
        return None
    return dict(line.split() for line in answer.stdout.splitlines())
