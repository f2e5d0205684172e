"""Loss and score by epoch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.scores import SCORES
from reports.figures.style import BLUE, GREY, ORANGE, VERMILION, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WITH_MARKERS = 30
# The columns' prefix in history.csv, the label, and the line: lines differ by more than their colour.
STREAMS = (
    ("train", "training steps, as minimised", ORANGE, ":"),
    ("train_eval", "train, evaluated", BLUE, "--"),
    ("val", "validation", VERMILION, "-"),
)

History = Sequence[Mapping[str, object]]


def learning_curves(history: History, path: Path, score: str = "f1_macro") -> "Figure":
    """Draw the losses and one registered score over the epochs, and write it as PNG.

    What is missing, empty or undefined in the history (rows of history.csv, as numbers or as text) is a gap. The best
    epoch, the first with the best validation score, is marked.
    """
    assert history, "no epoch to draw"
    epochs = [int(float(str(row["epoch"]))) + 1 for row in history]  # counted from 1, as in the progress lines
    values, name = column_values(history, f"val/{score}"), SCORES[score].label or score
    best = best_row(history, score)
    with drawing(path, 9.0, 3.6) as figure:
        panels = (("loss", "loss (evaluated: cross-entropy)"), (score, name))
        for axes, (quantity, label) in zip(figure.subplots(1, 2), panels, strict=True):
            _draw(axes, history, epochs, quantity)
            axes.set_ylabel(label)
            if best is not None:
                axes.axvline(epochs[best], color=GREY, linewidth=1, zorder=0)
        if best is not None:
            figure.suptitle(f"best epoch {epochs[best]}: validation {name} {values[best]:.3f}", fontsize="medium")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(STREAMS))
    return figure


def _draw(axes: "Axes", history: History, epochs: Sequence[int], quantity: str) -> None:
    from matplotlib.ticker import MaxNLocator

    marker = "o" if len(epochs) <= MOST_WITH_MARKERS else ""
    for stream, label, colour, line in STREAMS:
        values = column_values(history, f"{stream}/{quantity}")
        if not all(map(math.isnan, values)):
            axes.plot(epochs, values, label=label, color=colour, linestyle=line, marker=marker, markersize=3.5)
    axes.set_xlabel("epoch")
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(set(epochs)) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        axes.set_xticks(epochs[:1])


def best_row(history: History, score: str) -> int | None:
    """Return the first row with the best validation score; None where there is no such score."""
    values = column_values(history, f"val/{score}")
    known = [index for index, value in enumerate(values) if not math.isnan(value)]
    best_of = max if SCORES[score].higher_is_better else min  # of equal values the first
    return best_of(known, key=values.__getitem__, default=None)


def column_values(history: History, column: str) -> list[float]:
    """Return a column of history.csv; a cell that is missing, empty or not finite is nan."""
    cells = [row.get(column) for row in history]
    values = [math.nan if cell is None or cell == "" else float(str(cell)) for cell in cells]
    return [value if math.isfinite(value) else math.nan for value in values]
