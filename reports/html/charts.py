"""The geometry of charts; templates draw it."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 460, 240  # of a chart, in pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 36  # its margins
MOST_WITH_MARKERS = 30
POINT = 6  # pixels around the place of a point
CHARACTER = 9  # pixels that a character of a number below a tick needs


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers, 1, 2 or 5 times a power of ten apart, from at or below `low` to at or above `high`."""
    if not high > low:
        low, high = low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1)
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def axis(
    values: Sequence[float], low: float, high: float, most: int = 5
) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """Return where a value is on an axis between two places in pixels, and its ticks, (place, text)."""
    marks = ticks(min(values), max(values), most) if values else [0.0, 1.0]

    def place(value: float) -> float:
        return round(low + (value - marks[0]) / (marks[-1] - marks[0]) * (high - low), 1)

    return place, [(place(tick), f"{tick:.6g}") for tick in marks]


def line_chart(x: Sequence[int], series: Mapping[str, Sequence[float]], marked: int | None = None) -> dict[str, Any]:
    """Return the lines of a chart in pixels; a value that is not finite is a gap.

    Args:
        x: (N,) whole numbers, ascending.
        series: by label (N,) values; those without a finite one are left out.
        marked: the value of x that has a line of its own.

    Returns:
        `lines`, each with its `label` and `parts`, lists of (x, y); `xticks` and `yticks`, (place, text); `marked`, a place.
    """
    known = {label: values for label, values in series.items() if any(map(math.isfinite, values))}
    finite = [value for values in known.values() for value in values if math.isfinite(value)]
    down, yticks = axis([0.0, *finite] if finite else [], HEIGHT - BOTTOM, TOP)
    columns = [tick for tick in ticks(x[0], x[-1]) if tick == int(tick) and x[0] <= tick <= x[-1]] or [x[0]]

    def across(value: float) -> float:
        share = (value - x[0]) / (x[-1] - x[0]) if x[-1] > x[0] else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    lines = []
    for number, label in enumerate(series):
        if label in known:
            points = [
                (across(at), down(y)) if math.isfinite(y) else None for at, y in zip(x, known[label], strict=True)
            ]
            lines.append({"label": label, "style": number, "parts": _parts(points)})
    return {
        "lines": lines,
        "markers": len(x) <= MOST_WITH_MARKERS,
        "xticks": [(across(tick), f"{tick:.0f}") for tick in columns],
        "yticks": yticks,
        "marked": None if marked is None else across(marked),
    }


def history_charts(
    runs: Sequence[tuple[str, int | str, Sequence[Mapping[str, str]]]], score: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return charts of losses and the validation score over the epochs, counted from 1, with their titles.

    `runs` are the name, the style and the rows of the history.csv of each; of no run there are none.
    """
    if not runs:
        return []
    epochs = [*range(1, 2 + max(int(row["epoch"]) for _, _, rows in runs for row in rows))]
    found = []
    for title, column in (("training loss", "train/loss"), ("validation loss", "val/loss"), (f"validation {score}", f"val/{score}")):  # fmt: skip
        series = {}
        for place, (_, _, rows) in enumerate(runs):
            known = {int(row["epoch"]) + 1: float(row.get(column) or math.nan) for row in rows}
            series[str(place)] = [known.get(epoch, math.nan) for epoch in epochs]
        drawn = line_chart(epochs, series)
        for line in drawn["lines"]:
            name, style, _ = runs[int(line["label"])]
            line |= {"label": name, "style": style}
        found.append((title, drawn))
    return found


def scatter_chart(
    x: Sequence[float], y: Sequence[float | None], *, log: bool = False, line: Sequence[float] = ()
) -> dict[str, Any]:
    """Return points in pixels; those whose y is None lie on the x axis.

    Args:
        x: (N,) values.
        y: (N,) values.
        log: whether the x axis is logarithmic; x is positive then.
        line: (N,) or empty: the values of a line of steps over the same x, in their order.

    Returns:
        `points` and `line`, each (x, y); `xticks` and `yticks`, (place, text).
    """
    bottom = HEIGHT - BOTTOM - POINT
    down, yticks = axis([value for value in y if value is not None], bottom, TOP + POINT)
    at = [math.log10(value) for value in x] if log else [*x]
    low, high = min(at), max(at)

    def across(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(LEFT + 2 * POINT + share * (WIDTH - LEFT - RIGHT - 4 * POINT), 1)

    xticks = [(across(place), f"{value:g}") for place, value in sorted({*zip(at, x, strict=True)})]
    longest = CHARACTER * max(len(text) for _, text in xticks)
    if any(after - before < longest for (before, _), (after, _) in pairwise(xticks)):
        within = [tick for tick in ticks(low, high) if low <= tick <= high and (tick == int(tick) or not log)]
        xticks = [(across(tick), f"{10**tick if log else tick:g}") for tick in within]
    return {
        "points": [(across(place), bottom if value is None else down(value)) for place, value in zip(at, y, strict=True)],
        "line": [(across(place), down(value)) for i, place in enumerate(at[: len(line)]) for value in line[max(0, i - 1) : i + 1]],
        "xticks": xticks,
        "yticks": yticks,
    }  # fmt: skip


def _parts(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Divide points at the gaps."""
    parts: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            parts.append([])
        else:
            parts[-1].append(point)
    return [part for part in parts if part]
