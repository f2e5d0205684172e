"""`require=`: conditions that the first run needs to meet, so that a pipeline can stop at a model that is worse."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entry.errors import RequestError, RequirementError
from metrics.class_sums import MEANS, PER_CLASS
from reports.comparison import Comparison, described

CONDITION = re.compile(r"\s*([^<>=]+?)\s*(>=|<=)\s*(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?:,|$)")


@dataclass(frozen=True)
class Condition:
    """A bound of a score: `miou>=0.68`, or of a class `iou.person>=0.55`."""

    key: str
    at_least: bool
    bound: float

    @property
    def score(self) -> tuple[str, str | None]:
        """The score's name, and the class's."""
        name, _, of_class = self.key.partition(".")
        return name, of_class or None

    def __str__(self) -> str:
        return f"{self.key}{'>=' if self.at_least else '<='}{self.bound:g}"


def parsed(text: str | None) -> list[Condition]:
    """The conditions in a text such as ``miou>=0.68,iou.person>=0.55``. Raises RequestError where it holds anything else."""
    conditions, place = [], 0
    while text is not None and place < len(text.rstrip()):
        found = CONDITION.match(text, place)
        if found is None:
            raise RequestError(
                f"require={text}: {text[place:]!r} is no condition. Type scores with bounds, such as require='miou>=0.68,iou.person>=0.55'"
            )
        conditions.append(Condition(found[1], found[2] == ">=", float(found[3])))
        place = found.end()
    return conditions


def check_names(conditions: Sequence[Condition], scores: Mapping[str, Any]) -> None:
    """Raise RequestError where a condition names no score of scores.json, or no class, or has a bound in percent."""
    overall = [name for name, value in scores.items() if isinstance(value, int | float) and name != "schema"]
    classes = [each["name"] for each in scores["classes"]]
    known = [*overall, *(f"{score}.{name}" for name in classes for score in PER_CLASS)]
    percent = [each for each in conditions if each.bound > 1 and (each.score[1] or each.key in ("accuracy", *MEANS))]
    unknown = [condition for condition in conditions if condition.key not in known]
    if unknown or percent:
        lines = [
            f"require={each}: scores are fractions in 0-1. Type {each.key}>={each.bound / 100:g}" for each in percent
        ]
        for condition in unknown:
            near = difflib.get_close_matches(condition.key, known, n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(overall)}, and {', '.join(PER_CLASS)} of a class, such as {known[len(overall)]}."  # fmt: skip
            lines.append(f"require={condition}: there is no such score. {hint}")
        raise RequestError("\n".join(lines))


def check(conditions: Sequence[Condition], comparison: Comparison) -> None:
    """Raise RequirementError where the first run or recipe falls short, or is significantly worse than the second."""
    if conditions:
        failures = [*_short(conditions, comparison), *_worse(conditions, comparison)]
        if failures:
            raise RequirementError("\n".join(failures))


def _short(conditions: Sequence[Condition], comparison: Comparison) -> Iterator[str]:
    first = comparison.recipes[0]
    for condition in conditions:
        value = first.value(*condition.score)
        if value is None:
            yield f"require={condition}: {condition.key} of {first.name} is undefined."
        elif not (value >= condition.bound if condition.at_least else value <= condition.bound):
            yield f"require={condition}: {first.name} has {value:.4f}."


def _worse(conditions: Sequence[Condition], comparison: Comparison) -> Iterator[str]:
    if len(comparison.recipes) < 2:
        return
    wanted = {comparison.headline: None, **{condition.score: None for condition in conditions}}
    differences = {(each.score, comparison.class_name(each)): each for each in comparison.pairs[0].differences}
    for key in wanted:
        if key in differences and differences[key].verdict == "worse":
            yield f"require: {described(comparison, comparison.pairs[0], differences[key])}"
