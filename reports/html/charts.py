"""The geometry of line charts; templates draw it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 460, 240  # of a chart, in pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 36  # its margins
MOST_WITH_MARKERS = 30


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers, 1, 2 or 5 times a power of ten apart, from at or below `low` to at or above `high`."""
    if not high > low:
        low, high = low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1)
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def line_chart(x: Sequence[int], series: Mapping[str, Sequence[float]], marked: int | None = None) -> dict[str, Any]:
    """Return the lines of a chart in pixels; nan is a gap.

    Args:
        x: (N,) whole numbers, ascending.
        series: by label (N,) values; those that are all nan are left out.
        marked: the value of x that has a line of its own.

    Returns:
        `lines`, each with its `label` and `parts`, lists of (x, y); `xticks` and `yticks`, (place, text); `marked`, a place.
    """
    known = {label: values for label, values in series.items() if not all(map(math.isnan, values))}
    finite = [value for values in known.values() for value in values if not math.isnan(value)]
    rows = ticks(min(0.0, *finite), max(finite)) if finite else ticks(0.0, 1.0)
    columns = [tick for tick in ticks(x[0], x[-1]) if tick == int(tick) and x[0] <= tick <= x[-1]] or [x[0]]

    def across(value: float) -> float:
        share = (value - x[0]) / (x[-1] - x[0]) if x[-1] > x[0] else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def down(value: float) -> float:
        return round(TOP + (rows[-1] - value) / (rows[-1] - rows[0]) * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for number, label in enumerate(series):
        if label in known:
            points = [None if math.isnan(y) else (across(at), down(y)) for at, y in zip(x, known[label], strict=True)]
            lines.append({"label": label, "style": number, "parts": _parts(points)})
    return {
        "lines": lines,
        "markers": len(x) <= MOST_WITH_MARKERS,
        "xticks": [(across(tick), f"{tick:.0f}") for tick in columns],
        "yticks": [(down(tick), f"{tick:.6g}") for tick in rows],
        "marked": None if marked is None else across(marked),
    }


def _parts(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Divide points at the gaps."""
    parts: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            parts.append([])
        else:
            parts[-1].append(point)
    return [part for part in parts if part]
