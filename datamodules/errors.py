"""The errors of this room, and how their messages shorten and group long lists."""

import errno
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

NAMED = 5  # files that a message names of those with a common cause
FEWEST = 3  # files of a common cause that share a line
# What the system reports of one file that has gone or changed; other errors are the disk's or the machine's.
OF_ONE_FILE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)


class DatasetError(ValueError):
    """Data or data settings that make no sense; the message names what, where and what to do."""


class CacheError(DatasetError):
    """A cache cannot be written; what it would hold can be read from the files."""


class UnreadableError(RuntimeError):
    """A file that could be used when the run began cannot be read any more; the message names it, the cause and what to do."""

    def __init__(self, message: str) -> None:
        # A worker passes an error on as the text of its traceback, which ends with the error's name and message.
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())

    @classmethod
    def after(cls, error: Exception) -> "UnreadableError":
        """Return what to raise where a file gave an error; its cause itself, where that is not the file's fault."""
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError) and cause.errno not in (None, *OF_ONE_FILE):
            raise cause
        reason = str(error).rstrip(".")
        return cls(
            f"{reason}. It could be read when the run began: restore it, and type python train.py resume=RUN_FOLDER"
        )


def shortened(items: Sequence[object], most: int = 5, separator: str = ", ") -> str:
    """Return the first `most` items, joined, and how many more there are."""
    shown = [str(item) for item in items[:most]]
    if len(items) > most:
        shown[-1] += f"{separator.replace(',', '')}and {len(items) - most} more"
    return separator.join(shown)


class Defect(NamedTuple):
    """Why a file cannot be used."""

    name: str
    reason: str
    cause: str = ""  # the reason without the names of files, equal for files of one cause; empty: the reason itself


def grouped(defects: Iterable[Defect]) -> list[str]:
    """Return a line for each cause that several files have, with the first of them, and for each other file."""
    causes: dict[str, list[Defect]] = defaultdict(list)
    for defect in defects:
        causes[defect.cause or defect.reason].append(defect)
    lines = []
    for cause, members in causes.items():
        names = shortened([each.name for each in members], NAMED)
        shared = [f"{len(members)} files ({names}): {cause}"] if len(members) >= FEWEST else []
        lines += shared or [f"{each.name}: {each.reason}" for each in members]
    return lines
