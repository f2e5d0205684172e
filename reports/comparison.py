"""A comparison of runs or recipes as sentences, rows of compare.csv, and tables for a terminal and for LaTeX."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from label_spaces.space import LabelSpace
from metrics.comparison import FEWEST_SEEDS, Difference
from reports.formatting import with_interval
from settings.run import RunSettings

COLUMNS = ("first", "second", "score", "class", "value", "low", "high", "p", "detectable", "verdict")
MOST_CLASSES = 6  # of a pair, in the terminal
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", **{c: "\\" + c for c in "&%$#_{}"}}  # fmt: skip


@dataclass(frozen=True)
class Merged:
    """How the classes of a run become those that several models can all express.

    Args:
        space: the classes in common.
        truth: the common class of each class of the truth, and last of void.
        predicted: of each class that the model predicts, likewise.
        crossed: whether these are other classes than those of the truth.
    """

    space: LabelSpace
    truth: Sequence[int]
    predicted: Sequence[int]
    crossed: bool

    def cells(self, cell: np.ndarray) -> np.ndarray:
        """Return cells of per_sample.npz, truth · columns + prediction, in the classes in common."""
        truth, prediction = np.divmod(cell, len(self.predicted))
        merged = np.asarray(self.truth)[truth] * (self.space.num_classes + 1) + np.asarray(self.predicted)[prediction]
        return np.asarray(merged)


@dataclass(frozen=True)
class Evaluated:
    """An evaluation of a run.

    Args:
        path: of the run.
        name: the run's, as short as it is unique.
        settings: that it was evaluated with.
        scores: of scores.json.
        samples: (N,) their names, sorted.
        groups: (N,) their drives.
        sums: (G, 3, C) per drive, in the drives' sorted order (`metrics.class_sums.sums_by_group`).
        values: (N,) the mIoU of each frame, or the probability of each image's true class; nan without truth.
        wrong: (N,) the number of wrong pixels, or 0 or 1.
        predictions: of images (N,) `target`, `prediction` and `probability`.
        history: the rows of history.csv.
        merged: how the classes were merged, where they were.
    """

    path: Path
    name: str
    settings: RunSettings
    scores: dict[str, Any]
    samples: np.ndarray
    groups: np.ndarray
    sums: np.ndarray
    values: np.ndarray
    wrong: np.ndarray
    predictions: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: Sequence[Mapping[str, str]] = ()
    merged: Merged | None = None

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return [each["name"] for each in self.scores["classes"]]


@dataclass(frozen=True)
class Recipe:
    """A run, or several that differ in their seed.

    Args:
        name: the run's; of several the first one's, with their number.
        scores: of each run, the content of scores.json.
        means: by name the score over all classes, with its interval.
    """

    name: str
    scores: Sequence[Mapping[str, Any]]
    means: Mapping[str, tuple[float | None, Sequence[float] | None]]

    def value(self, score: str, of_class: str | None = None) -> float | None:
        """A score of scores.json, or of a class in it; the mean over the seeds. None where it is undefined."""
        rows = [
            run if of_class is None else next(each for each in run["classes"] if each["name"] == of_class)
            for run in self.scores
        ]
        values = [row[score] for row in rows]
        return None if None in values else float(sum(values) / len(values))


@dataclass(frozen=True)
class Pair:
    """Two recipes by their place, and the differences of their scores: first minus second."""

    first: int
    second: int
    differences: Sequence[Difference]


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison found.

    Args:
        split: that was scored.
        samples: their number; `drives` likewise.
        classes: their names.
        recipes: in the order in which they were typed.
        pairs: of each recipe with each later one.
        notes: on what else the runs differ in.
    """

    split: str
    samples: int
    drives: int
    classes: Sequence[str]
    recipes: Sequence[Recipe]
    pairs: Sequence[Pair]
    notes: Sequence[str]

    @property
    def headline(self) -> tuple[str, None]:
        """The score that recipes are judged by, as a key of differences."""
        return next(iter(self.recipes[0].means)), None

    def class_name(self, difference: Difference) -> str | None:
        """The name of the class that a difference is of."""
        return None if difference.class_index is None else self.classes[difference.class_index]


def described(comparison: Comparison, pair: Pair, difference: Difference) -> str:
    """A difference as a plain sentence, with its interval, p, and the smallest difference that could have been seen."""
    first, second = comparison.recipes[pair.first].name, comparison.recipes[pair.second].name
    name = ".".join(filter(None, (difference.score, comparison.class_name(difference))))
    if difference.value is None:
        return f"{name} of {first} or {second} is undefined."
    low, high = difference.interval or (None, None)
    by = f"{difference.value:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")
    p = "" if difference.p is None else f", {_p(difference.p)}"
    if difference.verdict == "cannot be told apart":
        seeds = " and ".join(map(str, difference.seeds or ()))
        return f"{first} and {second} cannot be told apart in {name} ({by}): recipes need {FEWEST_SEEDS} seeds a side, and have {seeds}."
    if difference.verdict == "undefined":
        return f"Whether {first} and {second} differ in {name} ({by}) cannot be estimated: that needs two drives with truth."
    if difference.verdict == "no difference":
        seen = "" if difference.detectable is None else f"; one of {difference.detectable:.3f} would have been seen in nine of ten cases"  # fmt: skip
        return f"No difference is shown between {first} and {second} in {name}: {by}{p}{seen}."
    return f"{first} is {difference.verdict} than {second} in {name}: {by}{p}."


def _p(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def csv_rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """The rows of compare.csv: the scores of each recipe (`second` is empty), then the differences of each pair."""
    for recipe in comparison.recipes:
        for score, (value, interval) in recipe.means.items():
            low, high = interval or (None, None)
            yield {"first": recipe.name, "score": score, "value": value, "low": low, "high": high}
    names = [recipe.name for recipe in comparison.recipes]
    for pair in comparison.pairs:
        for each in pair.differences:
            facts = each.value, *(each.interval or (None, None)), each.p, each.detectable, each.verdict
            cells = names[pair.first], names[pair.second], each.score, comparison.class_name(each), *facts
            yield dict(zip(COLUMNS, cells, strict=True))


def _scores(comparison: Comparison) -> list[list[str]]:
    return [[recipe.name, *(with_interval(*each) for each in recipe.means.values())] for recipe in comparison.recipes]


def table(comparison: Comparison) -> list[str]:
    """The scores of each recipe as lines for a terminal."""
    what = f"{comparison.split} ({comparison.samples} samples, {comparison.drives} drives)"
    rows = [[what, *comparison.recipes[0].means], *_scores(comparison)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def sentences(comparison: Comparison) -> list[str]:
    """What was found of the scores over all classes, and how many classes differ, for each pair."""
    lines = []
    for pair in comparison.pairs:
        overall = [each for each in pair.differences if each.class_index is None]
        lines += [described(comparison, pair, each) for each in overall]
        apart = [
            each for each in pair.differences if each.class_index is not None and each.verdict in ("better", "worse")
        ]
        largest = sorted(apart, key=lambda each: -abs(each.value or 0))
        lines += [described(comparison, pair, each) for each in largest[:MOST_CLASSES]]
        if len(largest) > MOST_CLASSES:
            lines.append(f"{len(largest) - MOST_CLASSES} more classes differ by more than chance: compare.csv")
    return lines


def latex(comparison: Comparison) -> str:
    """The scores and the differences as two tables for LaTeX, with booktabs."""
    names = [recipe.name for recipe in comparison.recipes]
    differences = [
        [names[pair.first], names[pair.second], each.score, "undefined" if each.value is None else with_interval(each.value, each.interval),
         "" if each.p is None else _p(each.p), each.verdict]
        for pair in comparison.pairs for each in pair.differences if each.class_index is None
    ]  # fmt: skip
    tables = [_tabular([comparison.split, *comparison.recipes[0].means], _scores(comparison))]
    if differences:
        tables.append(_tabular(["first", "second", "score", "difference", "p", "first is"], differences))
    return "% \\usepackage{booktabs}\n" + "\n".join(tables)


def _tabular(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" & ".join("".join(LATEX.get(letter, letter) for letter in cell) for cell in row) + r" \\" for row in (header, *rows)]  # fmt: skip
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", *body, r"\end{tabular}", ""])
