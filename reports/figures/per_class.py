"""F1 and IoU of each class, above or below the mean."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from label_spaces.crosswalk import FULL, NO, PARTLY, SHARED
from reports.figures.style import BLUE, DARK, GREY, ORANGE, VERMILION, drawing, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The key of a class, the key of its mean, and the label of each panel. IoU rises with F1, so both have the same order.
PANELS = (("f1", "f1_macro", "F1"), ("iou", "miou", "IoU"))
NOTES = {FULL: "", PARTLY: "  partly", SHARED: "  counts as another class", NO: "  cannot be predicted"}


def per_class_figure(
    classes: Sequence[Mapping[str, Any]],
    means: Mapping[str, Any],
    path: Path,
    title: str = "",
    statuses: Sequence[str] = (),
) -> "Figure":
    """Draw F1 and IoU of each class, the best first, with their means as a line, and write it as PNG.

    A class that is neither true nor predicted has no bar: it is in no mean. `classes` are `metrics.scores.class_scores`,
    `means` has f1_macro and miou, and after a crosswalk `statuses` has the status of each class, in the same order.
    """
    order = sorted(range(len(classes)), key=lambda i: (classes[i]["f1"] is None, -(classes[i]["f1"] or 0.0), i))
    shortened = short_names([str(each["name"]) for each in classes])
    names = [shortened[i] for i in order]
    shown = [statuses[i] if statuses else FULL for i in order]
    margin = 0.075 * max(map(len, names), default=0)
    with drawing(path, 2 * 3.4 + margin + 0.4, 0.19 * len(classes) + 1.4) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (key, mean, label) in zip(panels, PANELS, strict=True):
            notes = [NOTES[status] if key == "f1" else "" for status in shown]  # once is enough
            _bars(axes, [classes[i][key] for i in order], means[mean], label, notes)
        panels[0].set_yticks(range(len(names)), names, fontsize=8)
        panels[0].set_ylim(len(names) - 0.4, -0.6)  # the best on top
        for tick, status in zip(panels[0].get_yticklabels(), shown, strict=True):
            tick.set_color(GREY if status in (SHARED, NO) else DARK)
        figure.suptitle(title, fontsize="medium")
        _legend(figure)
    return figure


def _bars(axes: "Axes", values: Sequence[float | None], mean: float | None, label: str, notes: Sequence[str]) -> None:
    known = sum(value is not None for value in values)
    reached = [value is not None and mean is not None and value >= mean for value in values]
    colours = [BLUE if high else ORANGE for high in reached]
    bars = axes.barh(range(len(values)), [value or 0.0 for value in values], color=colours)
    numbers = ["undefined" if value is None else f"{value:.3f}" for value in values]
    texts = [number + note for number, note in zip(numbers, notes, strict=True)]
    # The mean's line goes behind the texts, in front of the bars.
    axes.bar_label(bars, texts, padding=3, fontsize=7, zorder=4, bbox={"color": "white", "pad": 0.5})
    axes.set_title(f"{label}: undefined")
    if mean is not None:
        axes.set_title(f"{label}: {sum(reached)} of {known} classes reach the mean, {mean:.3f}")
        axes.axvline(mean, color=VERMILION, linewidth=1, linestyle="--", zorder=3)
    axes.set_xlim(0, 1.2)  # room for the text beside a full bar
    axes.set_xticks((0, 0.25, 0.5, 0.75, 1))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def _legend(figure: "Figure") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(color=BLUE, label="at or above the mean"),
            Patch(color=ORANGE, label="below it"),
            Line2D([], [], color=VERMILION, linestyle="--", linewidth=1, label="mean of the classes"),
        ],
        loc="outside lower center",
        ncols=3,
    )
