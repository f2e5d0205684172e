"""How scores are written; needs no torch."""

from collections.abc import Sequence


def with_interval(score: float | None, interval: Sequence[float] | None) -> str:
    """Return a score with its interval: ``0.348 [0.301, 0.390]``, ``0.348`` without an interval, or ``undefined``."""
    if score is None:
        return "undefined"
    spread = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{score:.3f}{spread}"
