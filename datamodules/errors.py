"""The errors of this room, and how its messages shorten and group long lists."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

NAMED = 5  # files that a message names of those with a common cause
FEWEST = 3  # files of a common cause that share a line


class DatasetError(ValueError):
    """Data or data settings that make no sense; the message names what, where and what to do."""


class CacheError(DatasetError):
    """A cache cannot be written; what it would hold can be read from the files."""


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
