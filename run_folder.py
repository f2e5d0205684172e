"""The run's files: one folder of plain, readable files, each written to a temporary name and renamed."""

import contextlib
import csv
import fcntl
import io
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

HEARTBEAT_SECONDS = 15.0  # how long after a machine's death status.json may look alive
LEAVING_SECONDS = 10.0  # in which the processes of a run that was killed are gone


class RunFolderError(ValueError):
    """A run folder that cannot be used; the message says which, why and what to do."""


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary neighbour of `path` for writing; it takes the name only when all was written.

    A reader therefore sees the old file or the new one, never a part; an exception leaves the old one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
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
    """Write JSON atomically. Raises ValueError for nan or infinity: what is undefined is None."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV atomically; the columns are those of the first row unless given, None is an empty cell."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns or list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises RunFolderError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Status:
    """`status.json` of a run or an evaluation, true at every moment while this object lives.

    A thread renews the heartbeat, so that a process that was killed shows: state ``running``, an old heartbeat.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.monotonic()
        self._fields: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def start(self) -> None:
        """Write state ``running`` and keep the heartbeat going until `finish`."""
        self._fields = {
            "state": "running",
            "exit_code": None,
            "error": None,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "heartbeat": now(),
            "started": now(),
            "finished": None,
            "seconds": None,
        }
        self._write()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def finish(self, state: str, exit_code: int, error: str | None = None) -> None:
        """Write how it ended: ``finished``, ``failed``, ``stopped`` or ``pruned``."""
        self._over.set()
        self._write(
            state=state,
            exit_code=exit_code,
            error=error,
            heartbeat=now(),
            finished=now(),
            seconds=round(time.monotonic() - self._began, 3),
        )

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):  # a full disk must not end the run from here
                self._write(heartbeat=now())

    def _write(self, **changes: Any) -> None:
        with self._lock:
            if self._fields["state"] == "running":  # a beat that comes late must not undo the end
                self._fields.update(changes)
                write_json(self.path, self._fields)


class RunFolder:
    """Where everything a run was told and everything it found lies.

    Args:
        path: the folder; it need not exist until `claim`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.config = self.path / "config.yaml"
        self.overrides = self.path / "overrides.txt"
        self.status = self.path / "status.json"
        self.environment = self.path / "environment.json"
        self.split = self.path / "split.csv"
        self.history = self.path / "history.csv"
        self.checkpoints = self.path / "checkpoints"

    def holds_a_run(self) -> bool:
        """Whether a run has claimed this folder."""
        return self.config.exists()

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """A folder that holds a run. Raises RunFolderError where it does not."""
        folder = cls(path)
        if not folder.path.is_dir():
            raise RunFolderError(f"run={path}: there is no such folder.")
        if not folder.holds_a_run():
            raise RunFolderError(
                f"run={path}: no config.yaml in it, so it is not a run folder. Give the folder that train.py named."
            )
        return folder

    def claim(self, config: str, overrides: Sequence[str]) -> None:
        """Make the folder this run's own by writing its configuration. Raises RunFolderError where a run is in it already."""
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
        """Hold a mark on the folder (a lock, no file) inside; it ends with the process, however that ends.

        Who comes while nobody is there clears away what killed processes have left.

        Args:
            alone: wait first until no other process has a mark, such as those of a run that was just killed.

        Raises RunFolderError where others stay, or where nothing can be written.
        """
        if not os.access(self.path, os.W_OK):
            raise RunFolderError(f"{self.path} cannot be written to. Change its permissions, or work on a copy of it.")
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if alone and not _locked(descriptor, fcntl.LOCK_EX):
                raise RunFolderError(
                    f"{self.path}: a process is at work in this folder; its status.json says which, unless it evaluates. Stop that one first."
                )
            if not alone and _nobody_else(descriptor):
                self.clear_leftovers()
            _locked(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def clear_leftovers(self) -> None:
        """Remove what killed processes had not finished writing; only while the folder is free."""
        for left in [
            *self.path.rglob(".*.tmp"),
            *self.path.glob("evaluation/.*.new"),
            *self.path.glob("evaluation/.*.old"),
        ]:
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)

    def status_file(self) -> Status:
        """The run's status.json, not started yet."""
        return Status(self.status)

    def evaluation(self, split: str) -> Path:
        """The folder of a split's evaluation."""
        return self.path / "evaluation" / split


def _nobody_else(descriptor: int) -> bool:
    """Whether a folder could be locked at once; on a file system that cannot lock, nobody knows."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locked(descriptor: int, kind: int) -> bool:
    """Lock a folder, waiting a little; true also on a file system that cannot: then nobody is warned."""
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


def free_name(path: Path) -> Path:
    """`path`, or with the first suffix _2, _3, … that no run has taken."""
    candidates = (path if i == 1 else path.with_name(f"{path.name}_{i}") for i in range(1, 10_000))
    return next(p for p in candidates if not p.exists() or not any(p.iterdir()))


def replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a new folder beside `target` and put it in target's place as a whole.

    An exception in `fill` leaves the old folder as it was and nothing of the new one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        fill(fresh)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
