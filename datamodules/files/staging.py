"""A copy of a dataset's folders on a disk of this machine, from which its samples are read: `data.stage`."""

import hashlib
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.filesize import decimal

from datamodules.errors import DatasetError
from datamodules.files.audit import LEASE_NAME, core_count, in_threads, only_maker
from datamodules.files.image_files import visible
from run_folder import LONGEST_NAME, atomic, fitting_name, is_run, name_part
from settings.base import override
from settings.data import DataSettings

BLOCK = 2**20  # bytes that are read at once
MOST_THREADS = 8
PARTIAL = ".partial"  # ends the name of a copy that is not whole


class Entry(NamedTuple):
    """What is at a place of a folder: a folder, a file with its size and time, or a symbolic link."""

    kind: str
    size: int = 0  # bytes
    modified: int = 0  # nanoseconds
    target: str = ""  # of a link


Listing = dict[str, Entry]  # by path relative to the folder, outer folders before what they hold


def staged(roots: Sequence[Path], settings: DataSettings) -> tuple[Path, ...]:
    """Return copies of the folders, which are made or completed now, by one process of those on this machine.

    What is hidden, and run folders, stay out; links are followed. A file is the same if its size and time are; others are
    copied, and what was written is read again and compared. A copy has its name only when it is whole; what an interrupted
    one has is kept. Raises DatasetError where there is no room, or what cannot be read or written.
    """
    base = Path(settings.stage if isinstance(settings.stage, str) else Path(settings.cache_dir, "staged"))
    pairs = [(root.resolve(), _place(root.resolve(), base)) for root in roots]
    if inside := [root for root, copy in pairs if copy.resolve().is_relative_to(root)]:
        raise DatasetError(f"data.stage: {base} is within data.root={inside[0]}; choose another: data.stage=FOLDER.")
    try:
        for number, (root, copy) in enumerate(pairs):
            if not copy.is_dir() or wanted_of(root) != present_in(copy):
                with only_maker(copy, lambda: False):
                    _check_room(pairs[number:], base)
                    _complete(root, copy)
    except OSError as error:
        raise DatasetError(
            f"data.stage: {error.filename or base}: {error.strerror or error}. Choose another folder with data.stage=FOLDER, "
            "or data.stage=false."
        ) from error
    return tuple(copy for _, copy in pairs)


def _place(root: Path, base: Path) -> Path:
    digest = hashlib.blake2b(os.fsencode(root), digest_size=8).hexdigest()
    return base / fitting_name(name_part(root.name), f"-{digest}", most=LONGEST_NAME - LEASE_NAME)


def wanted_of(root: Path) -> Listing:
    """List what a copy of a folder holds.

    A folder that links lead to once more becomes a link to its first place in the copy; what cannot be read, such as a link
    to nothing, a link to the original, so that reading it fails in the same way.
    """
    found: dict[str, Entry] = {}
    entered: dict[tuple[int, int], str] = {}
    for place, folders, files, follows in _walk(root):
        here, facts = os.path.relpath(place, root), Path(place).stat()
        first = entered.setdefault((facts.st_dev, facts.st_ino), here)
        if first != here:
            found[here] = Entry("link", target=os.path.relpath(first, Path(here).parent))
            folders.clear()
            continue
        found[here] = Entry("folder")
        shown = [Path(place, name) for name in visible(folders, Counter())]
        folders[:] = [each.name for each in shown if os.access(each, os.R_OK | os.X_OK) and not _is_run(each)]
        unusable = [each for each in shown if not os.access(each, os.R_OK | os.X_OK)]
        paths = [*unusable, *(Path(place, name) for name in visible(files, Counter()))] if follows else []
        for path in paths:
            usable = path.is_file() and os.access(path, os.R_OK)
            found[os.path.relpath(path, root)] = _entry(path.stat()) if usable else Entry("link", target=str(path))
    del found["."]
    return found


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str], bool]]:
    """Walk twice, the second time through links: what a folder holds has its own place, wherever links to it are."""
    for follows in (False, True):
        yield from ((*each, follows) for each in os.walk(root, followlinks=follows))


def present_in(copy: Path) -> Listing:
    """List what a copy holds, nothing where there is none."""
    walked = os.walk(copy)
    paths = (Path(place, name) for place, folders, files in walked for name in (*folders, *files))
    return {
        os.path.relpath(path, copy): Entry("link", target=str(path.readlink()))
        if path.is_symlink()
        else _entry(path.stat())
        for path in paths
    }


def _entry(facts: os.stat_result) -> Entry:
    return Entry("folder") if stat.S_ISDIR(facts.st_mode) else Entry("file", facts.st_size, facts.st_mtime_ns)


def _is_run(folder: Path) -> bool:
    return (folder / "overrides.txt").is_file() and is_run(folder)


def _partial(copy: Path) -> Path:
    """Return where a copy is completed: a whole one, of which files have changed, at its own place."""
    return copy if copy.exists() else copy.with_name(copy.name + PARTIAL)


def _missing(root: Path, copy: Path) -> Iterator[tuple[str, Entry]]:
    present = present_in(_partial(copy))
    return ((name, entry) for name, entry in wanted_of(root).items() if present.get(name) != entry)


def _check_room(pairs: Sequence[tuple[Path, Path]], base: Path) -> None:
    """Raise DatasetError where the disk has no room for what is missing in all copies that follow."""
    needed = sum(entry.size for root, copy in pairs for _, entry in _missing(root, copy))
    free = shutil.disk_usage(base).free
    if needed > free:
        raise DatasetError(
            f"data.stage: the copy of {override('data.root', [str(root) for root, _ in pairs])} needs {decimal(needed)} and {base} has "
            f"{decimal(free)} free; choose another folder with data.stage=FOLDER, or data.stage=false."
        )


def _complete(root: Path, copy: Path) -> None:
    """Remove from a copy what the folder no longer has, add what is missing, and give it its name."""
    place = _partial(copy)
    place.mkdir(parents=True, exist_ok=True)
    present, missing = present_in(place), dict(_missing(root, copy))
    wanted = wanted_of(root)
    for name, entry in reversed(present.items()):  # what a folder holds before itself
        replaced = wanted.get(name)
        if replaced is None or (replaced != entry and {replaced.kind, entry.kind} != {"file"}):
            (place / name).rmdir() if entry.kind == "folder" else (place / name).unlink()
    for name, entry in missing.items():
        if entry.kind == "folder":
            (place / name).mkdir()
        elif entry.kind == "link":
            (place / name).symlink_to(entry.target)
    files = [(root / name, place / name, entry) for name, entry in missing.items() if entry.kind == "file"]
    if files:
        total = decimal(sum(entry.size for *_, entry in files))
        Console(stderr=True).print(f"Copying {len(files)} files ({total}) of {root} to {copy}", soft_wrap=True)
    for _ in in_threads(lambda file: _copy(*file), files, "copying data.root", min(MOST_THREADS, core_count())):
        pass
    if place != copy:
        place.rename(copy)


def _copy(source: Path, target: Path, entry: Entry) -> None:
    """Copy a file, and compare what was written; its time is set last, so that it counts as copied only then."""
    digest = hashlib.blake2b()
    with source.open("rb") as file, atomic(target) as copy:
        while block := file.read(BLOCK):
            digest.update(block)
            copy.write(block)
        if _entry(os.fstat(file.fileno())) != entry:
            raise DatasetError(f"data.stage: {source} has changed while it was copied. Type the command again.")
    with target.open("rb") as written:
        if hasattr(os, "posix_fadvise"):  # read the disk, not what memory still has of the file
            os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if hashlib.file_digest(written, hashlib.blake2b).digest() != digest.digest():
            raise DatasetError(f"data.stage: {target} does not hold what was written: the disk may be damaged.")
    os.utime(target, ns=(entry.modified, entry.modified))
