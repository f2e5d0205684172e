"""The one error of this room, and how its messages shorten long lists."""

from collections.abc import Sequence


class DatasetError(ValueError):
    """Data or data settings that make no sense; the message names what, where and what to do."""


def shortened(items: Sequence[object], most: int = 5, separator: str = ", ") -> str:
    """Return the first `most` items, joined, and how many more there are."""
    shown = [str(item) for item in items[:most]]
    if len(items) > most:
        shown[-1] += f"{separator.replace(',', '')}and {len(items) - most} more"
    return separator.join(shown)
