"""The run's files: one folder of plain, readable files, each written to a temporary name and renamed."""

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

HEARTBEAT_SECONDS = 15.0  # how long after a machine's death status.json may look alive
LEAVING_SECONDS = 10.0  # in which the processes of a run that was killed are gone
LONGEST_NAME = 255  # bytes of a file's name, on all common file systems


class RunFolderError(ValueError):
    """A run folder that cannot be used; the message names which, why and what to do."""


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file for writing that replaces `path` once all is written; an exception leaves the old file."""
    temporary = path.with_name(fitting_name(f".{path.name}", f".{os.getpid()}.{threading.get_ident()}.tmp"))
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically. Raises ValueError for nan or infinity; an undefined value is None."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV atomically, by default with the first row's columns; None is an empty cell.

    For columns of the project's own: those that are named by the user's classes can be equal, and need `write_table`.
    """
    header = columns or list(rows[0])
    if unknown := set().union(*rows) - {*header}:
        raise ValueError(f"{path} has no column {', '.join(sorted(unknown))}")
    write_table(path, header, ([row.get(column) for column in header] for row in rows))


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of cells as CSV atomically, each cell at its place, whatever the columns are called."""
    write_text(path, csv_text([header, *rows]))


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows of cells as CSV in which cells are quoted where they need it."""
    text = io.StringIO()
    writer, quoting = (csv.writer(text, lineterminator="\n", quoting=way) for way in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in rows:
        # Readers end a line at a carriage return too, which QUOTE_MINIMAL leaves as it is before Python 3.13.
        (quoting if any("\r" in str(cell) for cell in row) else writer).writerow(row)
    return text.getvalue()


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Status:
    """`status.json` of a run or an evaluation, with further `facts`. After a kill it has the state ``running`` and an old heartbeat."""

    def __init__(self, path: Path, **facts: Any) -> None:
        self.path, self._facts = path, facts
        self._began = time.monotonic()
        self._fields: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def start(self) -> None:
        """Write state ``running``, and renew the heartbeat in a thread until `finish`."""
        self._fields = {"state": "running", "exit_code": None, "error": None}
        self._fields |= {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat": now(), "started": now()}
        self._fields |= {"finished": None, "seconds": None, **self._facts}
        self._write()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def finish(self, state: str, exit_code: int, error: str | None = None) -> None:
        """Write the final state: ``finished``, ``failed``, ``stopped`` or ``pruned``."""
        self._over.set()
        seconds = round(time.monotonic() - self._began, 3)
        self._write(state=state, exit_code=exit_code, error=error, heartbeat=now(), finished=now(), seconds=seconds)

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):  # a full disk must not end the run from here
                self._write(heartbeat=now())

    def _write(self, **changes: Any) -> None:
        with self._lock:
            if self._fields["state"] == "running":  # a beat that comes late must not undo the end
                self._fields.update(changes)
                self._write_file(json.dumps(self._fields, indent=2) + "\n")

    def _write_file(self, text: str) -> None:
        try:
            write_text(self.path, text)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self.path.exists():
                raise
            with self.path.open("r+", encoding="utf-8") as file:  # a full disk still has the blocks of the file itself
                file.write(text)
                file.truncate()


def is_run(path: Path) -> bool:
    """Return whether a folder is a run's; that of an evaluation in it, which has a configuration too, is none."""
    return (path / "config.yaml").is_file() and not (path.parent.name == "evaluation" and is_run(path.parent.parent))


SWEEP = "sweep.json"  # in the folder of a sweep, whose runs are folders in it


class RunFolder:
    """The paths of a run's files, in a folder that need not exist until `claim`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.config = self.path / "config.yaml"
        self.overrides = self.path / "overrides.txt"
        self.status = self.path / "status.json"
        self.environment = self.path / "environment.json"
        self.split = self.path / "split.csv"
        self.files = self.path / "files.csv"
        self.label_space = self.path / "label_space.json"
        self.predicted_label_space = self.path / "predicted_label_space.json"
        self.crosswalk = self.path / "crosswalk.csv"
        self.history, self.timing, self.skipped = (self.path / f"{n}.csv" for n in ("history", "timing", "skipped"))
        self.checkpoints = self.path / "checkpoints"
        self.manifest = self.path / "manifest.json"  # of an export alone

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Return a run's folder. Raises RunFolderError if there is none."""
        folder = cls(path)
        if not folder.path.is_dir():
            raise RunFolderError(f"run={path}: there is no such folder.")
        if not folder.config.exists():
            raise RunFolderError(
                f"run={path}: no config.yaml in it, so it is not a run folder. Give the folder that train.py named."
            )
        return folder

    @property
    def is_export(self) -> bool:
        """Whether the folder is that of an export, which `run=` accepts in place of a run's."""
        return self.manifest.is_file()

    @property
    def sweep(self) -> Path | None:
        """The folder of the sweep that the run is a job of, if it is one."""
        return self.path.parent if (self.path.parent / SWEEP).is_file() else None

    def claim(self, config: str, overrides: Sequence[str]) -> None:
        """Create the folder with a run's configuration. Raises RunFolderError if it holds a run already."""
        self.path.mkdir(parents=True, exist_ok=True)
        written = self.path / f".{self.config.name}.{os.getpid()}.tmp"
        write_text(written, config)
        try:
            os.link(written, self.config)  # with its content or not at all, and never over another's
        except FileExistsError:
            raise RunFolderError(
                f"hydra.run.dir={self.path} already holds a run. Choose another folder, or go on with it: resume={self.path}"
            ) from None
        except OSError:  # a file system without hard links
            write_text(self.config, config)
        finally:
            written.unlink()
        write_text(self.overrides, "".join(f"{line}\n" for line in overrides))
        self.checkpoints.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def in_use(self, *, alone: bool = False) -> Iterator[None]:
        """Hold a shared lock on the folder inside the block, after clearing leftovers if no other process has one.

        With `alone`, first wait until no other process has a lock, such as those of a run that was just killed.
        Raises RunFolderError if one still has it, or if the folder cannot be written to.
        """
        if not os.access(self.path, os.W_OK):
            raise RunFolderError(f"{self.path} cannot be written to. Change its permissions, or work on a copy of it.")
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if alone and not _locked(descriptor, fcntl.LOCK_EX):
                raise RunFolderError(
                    f"{self.path}: a process is at work in this folder; its status.json has which, unless it evaluates. Stop that one first."
                )
            if not alone and _nobody_else(descriptor):
                self.clear_leftovers()
            _locked(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def clear_leftovers(self) -> None:
        """Remove what killed processes had not finished writing; only while no other process uses the folder."""
        for pattern in ("**/.*.tmp", "evaluation/.*.new", "evaluation/.*.old"):
            for left in list(self.path.glob(pattern)):
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)

    def checkpoint(self, wanted: str) -> Path:
        """Return the file of ``best``, ``last`` or a path. Raises RunFolderError naming those that there are."""
        path = self.checkpoints / f"{wanted}.ckpt" if wanted in ("best", "last") else Path(wanted)
        if path.is_file():
            return path
        known = [name for name in ("best", "last") if (self.checkpoints / f"{name}.ckpt").is_file()]
        instead = f"Type {' or '.join(f'checkpoint={name}' for name in known)}."
        if not known:
            instead = f"The run has written none yet; continue it with python train.py resume={self.path}"
        raise RunFolderError(f"checkpoint={wanted}: there is no {path}. {instead}")

    def evaluation(self, split: str) -> Path:
        """Return the folder of a split's evaluation."""
        return self.path / "evaluation" / split


def _nobody_else(descriptor: int) -> bool:
    """Return whether a folder could be locked at once; false on a file system that cannot lock."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _locked(descriptor: int, kind: int) -> bool:
    """Lock a folder within LEAVING_SECONDS; true also on a file system that cannot lock."""
    until = time.monotonic() + LEAVING_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        except OSError:
            return True
        else:
            return True


def name_part(text: str) -> str:
    """Return a text as it can be a part of a file's name: control characters, ``/`` and ``=`` become ``-``."""
    return re.sub(r"[\x00-\x1f\x7f/=]+", "-", text)


def fitting_name(name: str, ending: str = "", most: int = LONGEST_NAME) -> str:
    """Return `name + ending` in `most` bytes: a name that is longer is cut, and ends in a hash of all of it."""
    whole, room = os.fsencode(name), most - len(os.fsencode(ending))
    if len(whole) <= room:
        return name + ending
    digest = f"~{hashlib.blake2b(whole, digest_size=4).hexdigest()}"
    return whole[: room - len(digest)].decode(errors="ignore") + digest + ending


def folder_name(*parts: object) -> str:
    """Return the name of a command's folder: parts such as a time, a model and a dataset, and room for a suffix of `free_name`."""
    return fitting_name("_".join(name_part(str(part)) for part in parts), most=LONGEST_NAME - len("_9999"))


def free_name(path: Path) -> Path:
    """Return `path`, or with the first suffix _2, _3, … that is free: absent, or an empty folder."""
    candidates = (path if i == 1 else path.with_name(f"{path.name}_{i}") for i in range(1, 10_000))
    return next(p for p in candidates if not p.exists() or not any(p.iterdir()))
