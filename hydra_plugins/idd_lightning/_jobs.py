"""The jobs of a sweep, and their records in its folder: one file a job, and sweep.csv for people and for other tools."""

import contextlib
import fcntl
import math
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

from pydantic import Field

from run_files import Environment, EpochRow, StatusFile, read_json, read_rows
from run_folder import SWEEP, RunFolderError, write_csv, write_json

# Keys of the sweep, not of its jobs.
OF_SWEEP = ("jobs", "jobs_per_device", "retries", "on_failure", "n_trials", "sweep.resume")
COLUMNS = ("number", "overrides", "state", "exit_code", "seconds", "epochs")
READ_BYTES = 16_384  # of the end of a log
FAILED, REFUSED = 1, 2  # exit codes of a run
ENDED = ("finished", "pruned", "failed", "refused", "stopped")


LARGEST = 2**31  # of what a record counts
Whole = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]


@dataclass
class Job:
    """What is to be run."""

    number: int  # also the name of its run folder; of a search the trial's number
    overrides: tuple[str, ...]  # of the task, in Hydra's grammar
    hash: str | None = None  # of its settings; None before it was composed
    devices: int = 1  # GPUs that it needs, where there are some


class SweepEnded(SystemExit):
    """The end of a sweep in which not all went well; the code is the command's exit code."""


@dataclass
class Record:
    """What is known of a job, as jobs/<number>.json holds it."""

    number: int
    overrides: list[str]
    hash: str | None = None  # of its settings; None before it was started
    state: str = "waiting"
    exit_code: Whole | None = None
    attempts: Whole = 0
    started: str | None = None  # ISO 8601, UTC: of the last attempt
    seconds: Annotated[float, Field(ge=0, le=LARGEST)] | None = None  # of all attempts
    slot: Whole | None = None
    epochs: Whole | None = None
    headline: str | None = None  # the score by which jobs are ranked
    scores: dict[str, float] = field(default_factory=dict)  # val/… of the epoch with the highest headline
    parameters: int | None = None
    slurm_job: str | None = None  # the number of its last SLURM job

    @property
    def score(self) -> float | None:
        """The validation score by which jobs are ranked; None where there is none."""
        return self.scores.get(f"val/{self.headline}")

    def learn(self, folder: Path) -> None:
        """Read epochs, scores, headline and parameters from the run's folder, as far as they are there."""
        facts = read_json(folder / "environment.json", Environment) if (folder / "environment.json").exists() else {}
        rows = read_rows(folder / "history.csv", EpochRow)
        self.headline, self.parameters = facts.get("headline"), facts.get("parameters")
        self.epochs = len(rows)
        if best := best_row(rows, f"val/{self.headline}"):
            found = {name: float(value) for name, value in best.items() if name.startswith("val/") and value}
            self.scores = {name: value for name, value in found.items() if math.isfinite(value)}


class Source(Protocol):
    """Where the launcher takes jobs from."""

    total: int | None  # how many there are in all, where that is known
    varied: Sequence[str]  # the keys that jobs differ in

    def next(self) -> Job | None:
        """The next job to start; None where there is none now: it is asked again when a job has ended."""

    def waiting(self) -> Sequence[Job]:
        """Those that are known and were not given yet."""

    def ended(self, job: Job, record: Record) -> None:
        """Called once for each job, with how it ended."""


class Sweep:
    """The folder of a sweep."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.records: dict[int, Record] = {}

    @classmethod
    def open(cls, path: Path) -> Self:
        """A sweep with the records that its folder holds."""
        sweep = cls(path)
        sweep.refresh()
        return sweep

    def refresh(self) -> None:
        """Read the records of other processes, of jobs that had not ended; those of this one are equal to their files."""
        for file in (self.path / "jobs").glob("[0-9]*.json"):
            known = self.records.get(int(file.stem))
            if known is None or known.state not in ENDED:
                self.refresh_one(int(file.stem))

    def refresh_one(self, number: int) -> None:
        """Read the record of a job, where there is one."""
        if (file := self.path / "jobs" / f"{number}.json").exists():
            try:
                record = Record(**read_json(file, Record))
            except TypeError as error:
                raise RunFolderError(f"{file} is damaged: {error}") from None
            if record.number != number:
                raise RunFolderError(f"{file} is damaged: it is of another job.")
            self.records[number] = record

    def create(self, arguments: Sequence[str], created: str) -> None:
        """Make the folder, and keep what was typed."""
        for folder in (self.path, self.path / "jobs", self.path / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(self.path / SWEEP, {"arguments": list(arguments), "created": created})

    def folder(self, number: int) -> Path:
        """The run folder of a job."""
        return self.path / str(number)

    def catch_up(self, record: Record) -> None:
        """Record how a job ended of which nobody kept the record to its end; nobody is at work on the job."""
        file = self.folder(record.number) / "status.json"
        try:
            found = read_json(file, StatusFile) if record.state == "running" and file.exists() else {}
            if found.get("state") in ("finished", "pruned"):
                record.learn(file.parent)
                record.state, record.exit_code = found["state"], 0
                record.seconds = (record.seconds or 0.0) + (found.get("seconds") or 0.0)
                self.keep(record)
        except RunFolderError:
            pass  # the job is started again, which names the damaged file; the others go on

    def end(self, record: Record, code: int, seconds: float, *, stopped: bool) -> None:
        """Record how the process of a job ended; `stopped`: a signal was sent to it. One whose files are damaged has failed, and its log has why."""
        folder, status = self.folder(record.number), None
        try:
            if (folder / "status.json").exists():
                status = read_json(folder / "status.json", StatusFile)["state"]
            if folder.is_dir():
                record.learn(folder)
        except RunFolderError as error:
            with self.log(record.number).open("a", encoding="utf-8") as log:
                log.write(f"{error}\n")
            code = code or FAILED
        record.exit_code, record.seconds = (128 - code if code < 0 else code), seconds
        if code == 0:
            record.state = "pruned" if status == "pruned" else "finished"
        elif code == REFUSED:
            record.state = "refused"
        else:
            record.state = "stopped" if record.exit_code > 128 and (stopped or status == "stopped") else "failed"
        self.keep(record)

    @property
    def group(self) -> str:
        """The group of its runs in Weights & Biases."""
        return f"{self.path.parent.name}/{self.path.name}"

    def log(self, number: int) -> Path:
        """The file with a job's output."""
        return self.path / "logs" / f"{number}.log"

    def keep(self, record: Record) -> None:
        """Write a record."""
        self.records[record.number] = record
        write_json(self.path / "jobs" / f"{record.number}.json", asdict(record))

    def write_table(self, waiting: Sequence[Job] = ()) -> None:
        """Write sweep.csv: the jobs sorted by their number, those that are waiting too, and those of other processes."""
        with locked(self.path / "jobs"):
            self.refresh()
            others = [Record(job.number, list(job.overrides)) for job in waiting if job.number not in self.records]
            records = sorted((*self.records.values(), *others), key=lambda record: record.number)
            scores = sorted({name for record in records for name in record.scores})
            columns = (*COLUMNS, *scores, "folder")
            rows = [{name: getattr(record, name) for name in COLUMNS} for record in records]
            for row, record in zip(rows, records, strict=True):
                row |= {"overrides": " ".join(record.overrides), "seconds": rounded(record.seconds)}
                row |= {**record.scores, "folder": record.number if self.folder(record.number).is_dir() else None}
            write_csv(self.path / "sweep.csv", rows, columns)

    def best(self) -> Record | None:
        """The finished job with the highest validation score, of equals the first."""
        known = [r for r in self.records.values() if r.state == "finished" and r.score is not None]
        return max(known, key=lambda record: (record.score, -record.number), default=None)


def of_sweep(override: str) -> bool:
    """Whether an override is one of the sweep, not of its jobs."""
    return override.split("=", maxsplit=1)[0].lstrip("+") in OF_SWEEP


def rounded(seconds: float | None) -> float | None:
    """Seconds to the tenth."""
    return None if seconds is None else round(seconds, 1)


def best_row(rows: Sequence[dict[str, str]], column: str) -> dict[str, str] | None:
    """The first row with the highest value in a column; None where none has one."""
    known = [row for row in rows if row.get(column) and math.isfinite(float(row[column]))]
    return max(known, key=lambda row: float(row[column]), default=None)


def last_lines(path: Path, most: int) -> list[str]:
    """The last lines of a log that are not empty, at most so many; none where there is no log."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - READ_BYTES))
        lines = [line.rstrip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-most:]


def quoted(path: Path) -> str:
    """A path as Hydra's grammar needs it."""
    # Backslashes stand for themselves, unless a quote follows them.
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), str(path))
    return f'"{escaped}"'


def typed(key: str, path: Path) -> str:
    """A key and a path as they are typed in a shell."""
    plain = re.fullmatch(r"[\w./:+@%-]*", str(path), re.ASCII)
    return f"{key}={path}" if plain else shlex.quote(f"{key}={quoted(path)}")


def config_folders(hydras: Any) -> list[str]:
    """The --config-dir that was typed, as it is handed to a job."""
    return [f"--config-dir={each.path}" for each in hydras.runtime.config_sources if each.provider == "command-line"]


def exit_code(states: set[str]) -> int:
    """The exit code of a sweep whose jobs have ended in these states."""
    return FAILED if states & {"failed", "stopped"} else REFUSED if "refused" in states else 0


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder inside the block, where its file system has locks."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
