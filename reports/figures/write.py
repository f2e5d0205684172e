"""Write the figures of an evaluation's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.figures.confusion import confusion_figure
from reports.figures.learning_curves import learning_curves
from reports.figures.style import BLUE, GREEN, ORANGE, compact, drawing, short_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLOURS = (BLUE, ORANGE, GREEN)
LONGEST_COUNT = 10**6  # from here on all digits would not fit beside a bar


def class_distribution(counts: Mapping[str, Mapping[str, int]], path: Path, unit: str = "images") -> "Figure":
    """Draw the share of each class in each split, with its count, and write it as PNG; a panel per split on common axes.

    `counts` has the number of images or pixels by split and class; a class that is missing from a split has none there.
    """
    assert counts, "no split to draw"
    classes = list(dict.fromkeys(name for split in counts.values() for name in split))
    shown = short_names(classes)
    most = max(sum(found.values()) for found in counts.values())
    text = compact if most >= LONGEST_COUNT else "{:,}".format
    margin = 0.075 * max(map(len, shown), default=0)
    with drawing(path, 2.6 * len(counts) + margin + 0.6, 0.19 * len(classes) + 1.3) as figure:
        panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
        for index, (axes, (split, found)) in enumerate(zip(panels, counts.items(), strict=True)):
            numbers = [found.get(name, 0) for name in classes]
            total = sum(numbers)
            shares = [number / total if total else 0.0 for number in numbers]
            bars = axes.barh(range(len(classes)), shares, color=COLOURS[index % len(COLOURS)])
            axes.bar_label(bars, [text(number) for number in numbers], padding=2, fontsize=7)
            axes.set_title(f"{split}: {text(total)} {unit}")
            axes.grid(axis="x")
            axes.tick_params(axis="y", length=0)
            axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
        panels[0].set_yticks(range(len(classes)), shown, fontsize=8)
        panels[0].set_ylim(len(classes) - 0.4, -0.6)  # the first class on top
        panels[0].margins(x=0.18)  # room for the counts
        figure.supxlabel(f"share of the split's {unit}; its number beside each bar", fontsize="medium")
    return figure


def write_figures(
    folder: Path,
    confusion: NDArray[np.integer],
    names: Sequence[str],
    split: str,
    history: Sequence[Mapping[str, object]],
    counts: Mapping[str, Mapping[str, int]],
    score: str,
    unit: str,
) -> None:
    """Write confusion.png, class_distribution.png and, where there is a history, learning_curves.png of the score."""
    folder.mkdir(parents=True, exist_ok=True)
    confusion_figure(confusion, names, folder / "confusion.png", f"Confusion matrix, {split} split", unit)
    class_distribution(counts, folder / "class_distribution.png", unit)
    if history:
        learning_curves(history, folder / "learning_curves.png", score)
