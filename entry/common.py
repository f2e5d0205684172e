"""`over=common`: the classes that the models of several evaluations can all express, and their scores over these."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from entry.errors import RequestError
from label_spaces import catalogue
from label_spaces.crosswalk import find, read
from label_spaces.space import LabelSpace, LabelSpaceError
from metrics.class_sums import MEANS, PER_CLASS, PREDICTED, TRUE, class_scores, mean_scores
from metrics.common_classes import Relation, common_classes
from metrics.comparison import Statistics, recipe_scores
from reports.comparison import Merged
from reports.evaluation_files import read_scores
from run_files import read_json
from run_folder import RunFolder

KEPT = ("schema", "task", "split", "run", "checkpoint", "policy", "n_expected", "n_seen", "n_unique")  # of scores.json
MOST_NAMED = 3  # classes in the name of a common one
REST = "everything else"


def merge_classes(runs: Sequence[Path], split: str) -> list[Merged]:
    """Return for each run how its classes become the finest ones that all can express.

    The truth may be in different label spaces too, where one leads to the other: by a crosswalk, or by a common table of labels.
    Raises RequestError or LabelSpaceError.
    """
    scores = [read_scores(run / "evaluation" / split / "scores.json") for run in runs]
    if others := [run for run, each in zip(runs, scores, strict=True) if each["task"] != "segmentation"]:
        raise RequestError(f"over=common merges the classes of masks, and {others[0]} classifies. Leave it out.")
    truths = [_space(RunFolder(run).label_space, each["label_space"]) for run, each in zip(runs, scores, strict=True)]
    first, relations = truths[0], list[Relation]()
    for truth in truths:
        relations.append(([(i,) for i in range(truth.num_classes)] if truth == first else _related(truth, first), ()))
    of_truth, crossed = len(relations), [each["crossing"] is not None for each in scores]
    for i, run in enumerate(runs):
        own: Sequence[tuple[int, ...]] = [(index,) for index in range(truths[i].num_classes)]
        rest: tuple[int, ...] = ()
        if crossed[i]:
            folder = RunFolder(run)
            walk = read(
                folder.crosswalk, _space(folder.predicted_label_space, scores[i]["crossing"]["from"]), truths[i]
            )
            own, rest = walk.targets, walk.rest
        through = [tuple({target for index in each for target in relations[i][0][index]}) for each in own]
        relations.append((through, rest))
    sources, _, count = common_classes(relations, first.num_classes)
    if count < 2:
        raise RequestError("over=common: these models have fewer than two classes in common.")
    backgrounds = {sources[of_truth + i][index] for i in range(len(runs)) for index in relations[of_truth + i][1]}
    space = _common_space(truths, sources, count, backgrounds)
    return [Merged(space, [*sources[i], count], [*sources[of_truth + i], count], crossed[i]) for i in range(len(runs))]


def merged_scores(scores: dict[str, Any], sums: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return what scores.json would have, from (G, 3, C) sums over drives in the classes in common."""
    total = sums.sum(0)
    found = recipe_scores([sums], Statistics(("accuracy", *MEANS), ()))
    of_class = {
        score: [None if np.isnan(each) else float(each) for each in class_scores(total, score)] for score in PER_CLASS
    }
    counts = {"support": total[TRUE].astype(int).tolist(), "predicted": total[PREDICTED].astype(int).tolist()}
    columns = {"name": classes, **of_class, **counts}
    return {
        **{key: scores[key] for key in KEPT},
        "label_space": "classes in common",
        "void_rate": float(mean_scores(total)["void_rate"]),
        **{each.score: each.value for each in found},
        "intervals": {each.score: each.interval for each in found},
        "crossing": None,
        "classes": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    }


def _space(file: Path, name: str) -> LabelSpace:
    """Return the label space that a run keeps in a file, or, of earlier versions, the one of a name."""
    if not file.exists():
        return catalogue.load(name)
    try:
        return TypeAdapter(LabelSpace).validate_python(read_json(file)["label_space"])
    except (ValidationError, LookupError, TypeError) as error:
        raise LabelSpaceError(f"{file} is damaged: {' '.join(str(error).split())}") from None


def _related(space: LabelSpace, other: LabelSpace) -> list[tuple[int, ...]]:
    """Return the classes of another label space of truth that each class of one stands for, whichever of the two is finer."""
    for of, to in ((space, other), (other, space)):
        with contextlib.suppress(LabelSpaceError):
            found = find(of, to).targets
            return (
                list(found)
                if of is space
                else [tuple(i for i, each in enumerate(found) if index in each) for index in range(space.num_classes)]
            )
    raise RequestError(
        f"over=common: the truth is in {space.name} and in {other.name}, and there is no crosswalk between these. Evaluate both in one "
        "label space: data.label_space=NAME"
    )


def _common_space(
    truths: Sequence[LabelSpace], merged: Sequence[Sequence[int]], count: int, backgrounds: set[int]
) -> LabelSpace:
    """Return the classes in common, each with the names and the colour of the truth in which it is fewest classes."""
    names, colours = [], []
    for place in range(count):
        options = [
            (truth, [i for i, c in enumerate(places) if c == place])
            for truth, places in zip(truths, merged, strict=False)
        ]
        truth, members = min(options, key=lambda each: len(each[1]))
        known = [truth.classes[i] for i in members]
        more = [f"{len(known) - MOST_NAMED} more"] if len(known) > MOST_NAMED else []
        names.append(REST if place in backgrounds else " + ".join([*known[:MOST_NAMED], *more]))
        colours += [truth.colours[members[0]]] if truth.colours else []
    return LabelSpace("common", tuple(names), tuple(colours) if len(colours) == count else ())
