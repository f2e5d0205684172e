"""The page of a comparison, compare.html: scores and differences are those of compare.csv, all else comes from the runs' folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from label_spaces.space import VOID
from metrics.comparison import FEWEST_SEEDS
from reports.comparison import Comparison, Evaluated, Pair, described
from reports.html import charts
from reports.html.pictures import Picture
from reports.html.render import render
from run_folder import write_text

PAGE = "compare.html"
CHANGED, CHANGED_IMAGES = 10, 24  # frames and images that are shown
MOST_PAIRS = 10  # whose classes are listed
MOST_SHOWN = 4  # recipes whose predictions are shown beside each other
WIDTH, EDGE = 460, 10  # of a chart of scores, in pixels
BAR = 140  # of a difference
COLOURS = 6

Groups = Sequence[Sequence[Evaluated]]


@dataclass(frozen=True)
class Gallery:
    """The pictures of a page.

    Args:
        pictures: by the row of a sample: its image, each prediction, the truth, and the errors of each prediction; or the one of an image.
        legend: the name and the colour of each class, of masks.
        reason: why there are none although they are wanted.
    """

    pictures: Mapping[int, Sequence[Picture]] = field(default_factory=dict)
    legend: Sequence[tuple[str, str]] = ()
    reason: str = ""


def write_page(
    folder: Path, comparison: Comparison, groups: Groups, settings: Sequence[tuple[str, Sequence[str]]], command: str, gallery: Gallery,
) -> None:  # fmt: skip
    """Write compare.html into a folder; `settings` are the keys that differ, with their values in each recipe."""
    context = {
        "comparison": comparison,
        "groups": groups,
        "names": [recipe.name for recipe in comparison.recipes],
        "described": partial(described, comparison),
        "scores": [score_chart(comparison, score) for score in comparison.recipes[0].means],
        "classes": [(pair, class_rows(comparison, pair)) for pair in comparison.pairs[:MOST_PAIRS]],
        "fewest": FEWEST_SEEDS,
        "settings": settings,
        "curves": curves(comparison, groups),
        "images": images(groups),
        "gallery": gallery,
        "command": command,
        "colours": COLOURS,
    }
    write_text(folder / PAGE, render("comparison.html", **context))


def score_chart(comparison: Comparison, score: str) -> dict[str, Any]:
    """Return where the score of each recipe, its interval and its seeds are on one axis, in pixels."""
    found = [
        (recipe.name, *recipe.means[score], [run.get(score) for run in recipe.scores]) for recipe in comparison.recipes
    ]
    values = [
        each for _, value, interval, seeds in found for each in (value, *(interval or ()), *seeds) if each is not None
    ]
    across, ticks = charts.axis(values, EDGE, WIDTH - EDGE, 4)
    rows = [
        {
            "name": name,
            "value": value,
            "interval": interval,
            "x": None if value is None else across(value),
            "bounds": None if interval is None else [across(each) for each in interval],
            "seeds": [across(each) for each in seeds if each is not None] if len(seeds) > 1 else [],
        }
        for name, value, interval, seeds in found
    ]
    return {"score": score, "rows": rows, "ticks": ticks}


def class_rows(comparison: Comparison, pair: Pair) -> list[dict[str, Any]]:
    """Return each class with its score in both recipes, and their difference as a bar with its interval, in pixels."""
    of_classes = [each for each in pair.differences if each.class_index is not None]
    ends = [abs(end) for each in of_classes for end in (each.value, *(each.interval or ())) if end is not None]
    scale = max(ends, default=0) or 1.0

    def across(value: float) -> float:
        return round(BAR / 2 * (1 + value / scale), 1)

    return [
        {
            "name": comparison.class_name(each),
            "score": each.score,
            "both": [
                comparison.recipes[i].value(each.score, comparison.class_name(each)) for i in (pair.first, pair.second)
            ],
            "difference": each,
            "x": None if each.value is None else across(each.value),
            "bounds": None if each.interval is None else [across(end) for end in each.interval],
        }
        for each in of_classes
    ]


def curves(comparison: Comparison, groups: Groups) -> dict[str, Any]:
    """Return charts of losses and the headline score over the epochs, counted from 1, with a line for each run."""
    runs = [(place, run) for place, group in enumerate(groups) for run in group]
    trained = [(run.name, place % COLOURS, run.history) for place, run in runs if run.history]
    found = charts.history_charts(trained, comparison.headline[0])
    return {"charts": found, "without": [run.name for _, run in runs if not run.history]}


def changed(groups: Groups) -> NDArray[np.int64]:
    """Return the rows of the samples whose scores in the recipes, each by its first run, are furthest apart; the most first.

    Of images those that one gets right and another wrong.
    """
    runs = [group[0] for group in groups[:MOST_SHOWN]]
    values = np.stack([run.values for run in runs])
    apart = np.nan_to_num(np.ptp(values, axis=0))
    if runs[0].predictions:
        right = np.stack([run.wrong == 0 for run in runs])
        apart = np.where(right.all(0) | ~right.any(0), 0, 1 + apart)
    order = np.argsort(-apart, kind="stable")[: CHANGED_IMAGES if runs[0].predictions else CHANGED]
    return np.asarray(order[apart[order] > 0])


def images(groups: Groups) -> dict[str, Any]:
    """Return the samples of `changed` with what each recipe has there, and in how many samples which of two is better.

    For the first recipe and each other one, `counts` are the numbers of frames whose own mIoU is equal, higher and lower, or of
    images that both, only the first, only the other and neither gets right.
    """
    runs = [group[0] for group in groups[:MOST_SHOWN]]
    classes, rows, counts = [*runs[0].classes, VOID], [], []

    def named(index: int) -> str:
        return classes[int(index)]

    for row in changed(groups).tolist():
        facts = [{"value": float(run.values[row]), "share": run.wrong[row] / max(1, run.wrong.sum())} for run in runs]
        truth = None
        if runs[0].predictions:
            truth = named(runs[0].predictions["target"][row])
            for fact, run in zip(facts, runs, strict=True):
                own = {key: values[row] for key, values in run.predictions.items()}
                fact |= {
                    "predicted": named(own["prediction"]),
                    "probability": float(own["probability"]),
                    "right": not run.wrong[row],
                }
        rows.append({"row": row, "name": str(runs[0].samples[row]), "truth": truth, "facts": facts})
    for other in runs[1:]:
        if runs[0].predictions:
            one, two = runs[0].wrong == 0, other.wrong == 0
            parts = [one & two, one & ~two, ~one & two, ~one & ~two]
        else:
            apart = runs[0].values - other.values
            parts = [apart == 0, apart > 0, apart < 0]
        counts.append([int(each.sum()) for each in parts])
    names = [run.name for run in runs]
    return {"rows": rows, "names": names, "counts": counts, "left_out": max(0, len(groups) - MOST_SHOWN)}
