"""Read every file once, to find what cannot be decoded, its size and equal contents."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL
from filelock import SoftFileLease, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datamodules.errors import DatasetError
from datamodules.files.images import decode_turned
from run_folder import write_text
from streams import waiting

VERSION = 2  # goes up when files are read in another way
PATIENCE = 1.0  # seconds of work before a progress bar appears
QUOTA_FILES = ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")  # of a control group: quota and period, v2 and v1
LEASE_SECONDS = 60.0  # without a sign of life, after which a process on another machine counts as gone
LEASE_NAME = 64  # bytes that a lease's name has at most beside that of what is made
POLL_SECONDS = 0.5
BLOCK = 64  # items handed to the threads at once: results wait in memory, which stays small
LARGEST = 1 << 31  # bytes: no image of so many pixels as are decoded has more, and no file of outlines
KEPT = 1 << 24  # bytes of a block after which glibc keeps twice as much freed memory


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of a file."""

    size: int  # bytes
    modified: int  # nanoseconds
    content: str = ""  # hexadecimal BLAKE2b (16 bytes); empty where it cannot be read
    height: int = 0  # pixels, EXIF orientation applied; 0 where it cannot be decoded
    width: int = 0
    error: str | None = None  # why it cannot be used
    pixels: tuple[int, ...] = ()  # of a mask: the pixels of each class, of void last
    orientation: int = 1  # of an image: the EXIF orientation that is applied
    ids: tuple[int, ...] = ()  # of a mask with ids that its label space lacks: all of them


Item = TypeVar("Item")
Result = TypeVar("Result")
Inspect = Callable[[Path, Finding], Finding]  # reads a file of which size and time are known


def audit(
    root: Path,
    names: Sequence[str],
    cache_dir: Path,
    *,
    kind: str = "images",
    inspect: Inspect | None = None,
    bits: int | None = None,
) -> dict[str, Finding]:
    """Read and decode every file of `names` under `root`, in the order given; a bar shows on stderr if that takes long.

    Findings are remembered in `cache_dir` by `kind`, name, size and time of change, so that only new and changed files,
    and those with errors, are read again. Files are images, with `bits` as in `read_image`, unless `inspect` is given.
    """
    kind = kind if bits is None or inspect is not None else f"{kind} of {bits} bit"
    place = os.fsencode(root.resolve()) + (b"" if kind == "images" else b"\0" + kind.encode())
    memory = cache_dir / f"audit-{hashlib.blake2b(place, digest_size=8).hexdigest()}.json"
    stamps = {name: _stamp(root / name) for name in names}
    findings, pending, gone = _compared(stamps, memory)
    with only_maker(memory, lambda: not pending):
        if pending:  # which another process of this machine may have read meanwhile
            findings, pending, gone = _compared(stamps, memory)
        read = inspect or (inspect_image if bits is None else partial(inspect_image, bits=bits))
        files = [(root / name, findings[name]) for name in pending]
        try:
            found = in_threads(lambda file: read(*file), files, f"Checking {kind.split(maxsplit=1)[0]}")
            findings.update(zip(pending, found, strict=True))
        finally:  # an interrupted audit is continued by the next one
            if pending or gone:
                # Files with errors are read anew: the cause may lie outside the file.
                kept = {name: astuple(each) for name, each in findings.items() if each.content and each.error is None}
                remember(memory, {"pillow": PIL.__version__, "version": VERSION, "files": kept})
    return findings


def _compared(stamps: Mapping[str, Finding], memory: Path) -> tuple[dict[str, Finding], list[str], bool]:
    """Return what is remembered of files that have not changed, those to be read, and whether others are remembered."""
    known, findings = _remembered(memory), dict(stamps)
    for name, stamp in stamps.items():
        earlier = known.get(name)
        if earlier and (earlier.size, earlier.modified) == (stamp.size, stamp.modified):
            findings[name] = earlier
    pending = [name for name, finding in findings.items() if not finding.content and finding.error is None]
    return findings, pending, bool(known.keys() - findings.keys())


def inspect_image(path: Path, stamp: Finding, bits: int | None = None) -> Finding:
    """Read an image file once, for both its hash and its size; `bits` as in `read_image`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return replace(stamp, error=error.strerror or str(error))
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        image, orientation = decode_turned(content, bits)
    except DatasetError as error:
        return replace(stamp, content=digest, error=str(error))
    return replace(stamp, content=digest, height=image.shape[0], width=image.shape[1], orientation=orientation)


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], title: str, threads: int | None = None
) -> Iterator[Result]:
    """Yield `function` of each item, in order, from threads, by default one a core; a bar shows if that takes long."""
    console = Console(stderr=True)
    columns = TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=console.is_terminal)  # in a log the last state stays
    task, began = bar.add_task("", total=len(items)), time.monotonic()
    # Once a block was freed, glibc no longer returns smaller ones to the system; else each image would need fresh pages,
    # which took a tenth of the time of reading a 1080p mask.
    np.empty(KEPT, np.uint8)
    with ThreadPoolExecutor(threads or core_count()) as pool:  # decoding releases the interpreter's lock
        try:
            for start in range(0, len(items), BLOCK):
                for result in pool.map(function, items[start : start + BLOCK]):
                    yield result
                    if time.monotonic() - began > PATIENCE:
                        bar.start()
                    bar.advance(task)
        finally:
            if bar.live.is_started:
                bar.stop()


def core_count(root: Path = Path("/")) -> int:
    """Return how many cores this process may use.

    That is the fewest of the cores that it may run on, of the quota of its control groups (a container's ``--cpus``), whose
    files are read below `root`, and of SLURM's share of a task; the jobs of a sweep that run at once (IDD_JOBS) share them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share, jobs = (os.environ.get(name, "") for name in ("SLURM_CPUS_PER_TASK", "IDD_JOBS"))
    least = min([cores, *_quotas(root), *([int(share)] if share.isdecimal() else [])])
    return max(1, least // max(1, int(jobs) if jobs.isdecimal() else 1))


def core_share(processes: int) -> int:
    """Return how many cores each of `processes` on this machine may use, at least 1; a task of SLURM's has its own."""
    own = "SLURM_CPUS_PER_TASK" in os.environ and "RANK" in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ
    return core_count() if own else max(1, core_count() // processes)


def _quotas(root: Path) -> Iterator[int]:
    """Yield the whole cores of each control group above this process that has a quota, of cgroup v2 and v1."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, place = line.split(":", 2)
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        # In a container the place may be that on the host, which is not visible: then the top is the container's own group.
        group = top if ".." in place else top / place.lstrip("/")
        for folder in (group, *group.parents[: len(group.parts) - len(top.parts)]):
            limit = [word for file in QUOTA_FILES for word in _text(folder / file).split()]
            if len(limit) == 2 and all(word.isdecimal() and int(word) > 0 for word in limit):  # else "max" or -1: none
                yield int(limit[0]) // int(limit[1])


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def container(path: Path) -> Path:
    """Return the file itself or, of ``FILE#PART``, the file that a part of it is meant of."""
    return path if "#" not in path.name or path.exists() else path.with_name(path.name.rpartition("#")[0])


def _stamp(path: Path) -> Finding:
    """Return size and time of a file that has not been read yet, or why it cannot be."""
    try:
        str(path).encode()
        facts = container(path).stat()
    except UnicodeEncodeError:
        return Finding(0, 0, error="its name is not valid UTF-8; rename it")
    except OSError as error:
        return Finding(0, 0, error=error.strerror or str(error))
    readable = stat.S_ISREG(facts.st_mode) and facts.st_size <= LARGEST
    reason = None if readable else f"not a regular file of up to {LARGEST} bytes"
    return Finding(facts.st_size, facts.st_mtime_ns, error=reason)


def _remembered(memory: Path) -> Mapping[str, Finding]:
    """Return the findings of an earlier audit with this Pillow."""
    stored = remembered(memory) or {"pillow": None, "version": None}
    if (stored["pillow"], stored["version"]) != (PIL.__version__, VERSION):
        return {}
    known = {name: Finding(*facts) for name, facts in stored["files"].items()}
    return {name: replace(each, pixels=tuple(each.pixels), ids=()) for name, each in known.items()}


def remember(memory: Path, content: Any) -> None:
    """Write `content` as JSON for a later start; a cache that cannot be written costs time, not the run."""
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_text(memory, _sealed(json.dumps(content)))


def remembered(memory: Path) -> Any:
    """Return what `remember` wrote; None where there is no file, or it is not as it was written."""
    try:
        written = memory.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    text = written.partition("\n")[2][:-1]
    return json.loads(text) if written == _sealed(text) else None


def _sealed(text: str) -> str:
    """Return JSON as an item of a list after its BLAKE2b."""
    return f'["{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}",\n{text}]'


@contextlib.contextmanager
def only_maker(path: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """Wait until a file or folder is `ready`, or until no other process makes it; what a killed one left is removed.

    That is ``.<name>.*.tmp`` beside it. Whoever makes it holds a file that only one process can create, on network file
    systems too, where locks may be missing or local to a machine. It is taken over from a process that has ended or, on
    another machine, given no sign of life for LEASE_SECONDS. Where none can be created, nothing can be made either.
    """
    lease = SoftFileLease(path.with_name(f".{path.name}.lease"), lease_duration=LEASE_SECONDS)
    try:
        with waiting(f"another process that writes {path} (if there is none, remove {lease.lock_file})"):
            while not ready() and not lease.is_locked:
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    lease.acquire(timeout=0)
                except Timeout:
                    time.sleep(POLL_SECONDS)
                except OSError:
                    break
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp") if lease.is_locked else ():
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        yield
    finally:
        lease.release()
