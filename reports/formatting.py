"""How numbers are written for people."""

from collections.abc import Sequence


def with_interval(score: float | None, interval: Sequence[float] | None) -> str:
    """A score in 0–1 and what it may as well be: ``0.348 [0.301, 0.390]``, ``0.348`` without an interval, ``undefined``."""
    if score is None:
        return "undefined"
    spread = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{score:.3f}{spread}"
