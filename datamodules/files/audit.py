"""Look into every file once: can it be decoded, how large is it, which files hold the same bytes, what is in a mask."""

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.images import decode_image
from run_folder import write_text

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE = 1.0  # seconds of looking before a progress bar appears
BATCH = 64  # files handed to the threads at once


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of a file.

    Args:
        size: bytes.
        modified: time of the last change in nanoseconds.
        content: hexadecimal BLAKE2b (16 bytes) of the file's bytes; empty where they could not be read.
        height: pixels, as shown (EXIF applied); 0 where it could not be decoded.
        width: likewise.
        error: why it cannot be used, or None.
        pixels: of a mask: how many pixels it has of each class, of void last.
    """

    size: int
    modified: int
    content: str = ""
    height: int = 0
    width: int = 0
    error: str | None = None
    pixels: tuple[int, ...] = ()


Seen = TypeVar("Seen")
Look = Callable[[Path, Finding], Finding]  # reads a file of which size and time are known


def audit(
    root: Path, names: Sequence[str], cache_dir: Path, *, kind: str = "images", look: Look | None = None
) -> dict[str, Finding]:
    """Read and decode every file of `names` under `root`, in the order given.

    What was found is remembered in `cache_dir` by name, size and time of change, so that only new and changed files
    (and those with errors) are read again. A progress bar shows on stderr if that takes longer than a second.

    Args:
        root: a folder.
        names: POSIX paths relative to it.
        cache_dir: where it is remembered; made if needed.
        kind: what the files are, for the bar.
        look: how to read one; None: as an image. What one way of looking finds is not remembered for another `kind`.
    """
    place = os.fsencode(root.resolve()) + (b"" if kind == "images" else b"\0" + kind.encode())
    place_name = hashlib.blake2b(place, digest_size=8).hexdigest()
    memory = cache_dir / f"audit-{place_name}.json"
    known = _remembered(memory)
    findings: dict[str, Finding] = {}
    for name in names:
        stamp = _stamp(root / name)
        earlier = known.get(name)
        unchanged = earlier and (earlier.size, earlier.modified) == (stamp.size, stamp.modified)
        findings[name] = earlier if earlier and unchanged else stamp
    pending = [name for name, finding in findings.items() if not finding.content and finding.error is None]
    try:
        stamps = {name: findings[name] for name in pending}
        how = look or _look
        seen = looked_at(pending, lambda name: how(root / name, stamps[name]), kind.split(maxsplit=1)[0])
        findings.update(seen)
    finally:  # what an interrupted audit has seen need not be seen again
        if pending or known.keys() - findings.keys():
            _remember(memory, findings)
    return findings


def _stamp(path: Path) -> Finding:
    """Size and time of a file that has not been read yet, or why it cannot be."""
    try:
        str(path).encode()
        facts = path.stat()
    except UnicodeEncodeError:
        return Finding(0, 0, error="its name is not valid UTF-8; rename it")
    except OSError as error:
        return Finding(0, 0, error=error.strerror or str(error))
    reason = None if stat.S_ISREG(facts.st_mode) else "not a regular file"
    return Finding(facts.st_size, facts.st_mtime_ns, error=reason)


def mask_look(read: Callable[[Path], NDArray[np.uint8]], void: int) -> Look:
    """How to look at files that `read` reads as masks (H, W) of class indices up to `void`."""

    def look(path: Path, stamp: Finding) -> Finding:
        try:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
            mask = read(path)
        except OSError as error:
            return Finding(stamp.size, stamp.modified, error=f"{path}: {error.strerror or error}")
        except DatasetError as error:
            return Finding(stamp.size, stamp.modified, error=str(error))
        pixels = tuple(Image.fromarray(mask).histogram()[: void + 1])  # a tenth of numpy's time
        return Finding(stamp.size, stamp.modified, digest, mask.shape[0], mask.shape[1], pixels=pixels)

    return look


def looked_at(names: Sequence[str], look: Callable[[str], Seen], kind: str) -> Iterator[tuple[str, Seen]]:
    """Each name with what `look` returns for it in one of several threads; a bar shows if that takes longer."""
    began = time.monotonic()
    bar = None
    # Decoding releases the interpreter's lock, so threads are enough.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, contextlib.ExitStack() as stack:
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            yield from zip(batch, pool.map(look, batch), strict=True)
            if bar is None and time.monotonic() - began > PATIENCE:
                bar = stack.enter_context(_progress(len(names), kind))
            if bar is not None:
                bar.update(bar.task_ids[0], completed=start + len(batch))


def _look(path: Path, stamp: Finding) -> Finding:
    """Read a file once, for both its hash and its picture."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return Finding(stamp.size, stamp.modified, error=error.strerror or str(error))
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        height, width, _ = decode_image(content).shape
    except DatasetError as error:
        return Finding(stamp.size, stamp.modified, digest, error=str(error))
    return Finding(stamp.size, stamp.modified, digest, height, width)


def _progress(total: int, kind: str) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn(f"Checking {kind}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    progress = Progress(*columns, console=console, transient=console.is_terminal)  # in a log the last state stays
    progress.add_task("", total=total)
    return progress


def _remembered(memory: Path) -> dict[str, Finding]:
    """The findings of an earlier audit with this Pillow; none where there is no file or a broken one."""
    try:
        stored = json.loads(memory.read_text(encoding="utf-8"))
        if stored["pillow"] != PIL.__version__:
            return {}
        return {name: _finding(*facts) for name, facts in stored["files"].items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


def _finding(*facts: Any) -> Finding:
    """What JSON has kept of a finding."""
    return replace(Finding(*facts), pixels=tuple(facts[-1]))


def _remember(memory: Path, findings: Mapping[str, Finding]) -> None:
    """Store what was found in files that can be used; errors are looked at anew, their cause may lie outside the file."""
    files = {name: astuple(finding) for name, finding in findings.items() if finding.content and finding.error is None}
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the run
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_text(memory, json.dumps({"pillow": PIL.__version__, "files": files}))
