"""The confusion matrix as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from label_spaces.space import VOID, names_beside
from reports.figures.style import LIGHT, compact, drawing, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WITH_COUNTS = 12  # more classes leave no room for two lines in a cell
MOST_WITH_NUMBERS = 20
EVEN_TICKS, ROOT_TICKS = (0, 0.25, 0.5, 0.75, 1), (0, 0.02, 0.1, 0.25, 0.5, 0.75, 1)


def confusion_figure(
    confusion: NDArray[np.integer], names: Sequence[str], path: Path, title: str = "", unit: str = "images"
) -> "Figure":
    """Draw a confusion matrix, each row as shares of its true class, and write it as PNG.

    It has (C + 1, C + 1) counts of `unit`, rows truth, columns predictions, void last. Void is shown only where it occurs.
    """
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    classes = len(names)
    assert confusion.shape == (classes + 1, classes + 1), f"{confusion.shape} counts for {classes} classes and void"
    shown = [*short_names(names_beside([VOID], names)), VOID]
    rows = classes + bool(confusion[-1].any())
    columns = classes + bool(confusion[:rows, -1].any())
    counts = confusion[:rows, :columns].astype(np.float64)
    support = confusion[:rows].sum(1)
    shares = np.divide(counts, support[:, None], out=np.full_like(counts, np.nan), where=support[:, None] > 0)

    many = classes > MOST_WITH_NUMBERS
    longest = max(map(len, shown))
    side = 0.19 if many else max(0.52, 2.0 / columns)  # inches of a cell
    letter = 0.062 if many else 0.08  # inches of a letter of the labels
    level = longest * letter < 0.9 * side
    below = 0.15 if level else longest * letter * (1.0 if many else 0.75)
    with drawing(path, columns * side + (longest + 7) * letter + 1.6, rows * side + below + 0.8) as figure:
        axes = figure.add_subplot()
        # White to dark blue, grey without truth; by the root where there are no numbers, to distinguish 2 % from none.
        colours, scale = colormaps["Blues"].with_extremes(bad=LIGHT), PowerNorm(0.5 if many else 1.0, vmin=0, vmax=1)
        image = axes.pcolormesh(shares, cmap=colours, norm=scale, edgecolors=LIGHT, linewidth=0.4)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7 if many else 9)
        axes.set_xticks(np.arange(columns) + 0.5, shown[:columns], **_slant(level=level, many=many))
        labels = [f"{name}  {compact(number)}" for name, number in zip(shown[:rows], support, strict=True)]
        axes.set_yticks(np.arange(rows) + 0.5, labels)
        axes.set_xlabel("prediction")
        axes.set_ylabel(f"truth, and its number of {unit}")
        axes.set_title(title)
        if not many:
            _numbers(axes, shares, counts, with_counts=classes <= MOST_WITH_COUNTS)
        ticks = ROOT_TICKS if many else EVEN_TICKS
        bar = figure.colorbar(image, ax=axes, label="share of the true class", ticks=ticks, format="{x:.0%}", aspect=30)
        bar.outline.set_visible(False)
    return figure


def _slant(*, level: bool, many: bool) -> dict[str, Any]:
    """Return the rotation of the names below the columns: none where they fit, upright where there are many, else slanted."""
    if level:
        return {}
    if many:
        return {"rotation": 90}
    return {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}


def _numbers(axes: "Axes", shares: NDArray[np.float64], counts: NDArray[np.float64], *, with_counts: bool) -> None:
    for row, column in np.argwhere(counts > 0):
        share = shares[row, column]
        percent = "<1%" if share < 0.01 else ">99%" if 0.995 <= share < 1 else f"{share:.0%}"
        text = f"{percent}\n{compact(counts[row, column])}" if with_counts else percent
        colour = "white" if share > 0.5 else "black"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color=colour)
