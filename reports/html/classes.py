"""The classes of an evaluation's page: their table, the confusion matrix and the largest confusions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from label_spaces.space import VOID, names_beside
from metrics.counts import merge_samples
from reports.figures.style import short_names
from reports.html.files import EvaluationFiles
from reports.html.selection import largest_pairs, worst_rows

# Pixels of a cell by the most classes it is for; below 20 px there is no room for numbers.
CELLS = ((12, 52), (30, 28), (60, 18), (10**6, 13))
LETTER = 6.3  # pixels of a letter of the labels, at 11 px


def class_rows(files: EvaluationFiles) -> list[dict[str, Any]]:
    """Return the rows of the class table: those of per_class.csv with more columns.

    `images` is the number of samples with truth of the class, `few` its number of drives where these are few, `status` how
    it is expressed after a crosswalk, and `taken` what it is most often taken for.
    """
    scores, confusion = files.scores, files.confusion
    assert confusion is not None
    side = len(confusion)
    support = merge_samples(files.matrices, range(side), [0] * side)
    images = np.asarray((support > 0).sum(axis=0))
    statuses = {
        name: status for status in ("partly", "shared", "no") for name in (scores["crossing"] or {}).get(status, ())
    }
    names = _names(files)
    return [
        {
            **each,
            "images": int(images[index]),
            "few": (scores["few_groups"] or {}).get(each["name"]),
            "status": statuses.get(each["name"]),
            "taken": _taken(confusion[index], index, names),
        }
        for index, each in enumerate(scores["classes"])
    ]


def around_mean(classes: Sequence[dict[str, Any]], mean: float | None) -> dict[str, list[str]]:
    """Return the names of the classes `above` (or at) the mean F1 and `below` it, the best first, and those without an F1."""
    known = sorted((each for each in classes if each["f1"] is not None), key=lambda each: -each["f1"])
    return {
        "above": [each["name"] for each in known if mean is not None and each["f1"] >= mean],
        "below": [each["name"] for each in known if mean is not None and each["f1"] < mean],
        "undefined": [each["name"] for each in classes if each["f1"] is None],
    }


def matrix(files: EvaluationFiles) -> dict[str, Any]:
    """Return the confusion matrix as it is drawn: labels, sizes in pixels, and every cell that is not 0.

    The row of void truth is left out, as it is in every score; the column of void predictions is there where it occurs.
    """
    confusion = files.confusion
    assert confusion is not None
    classes = len(files.names)
    counts = confusion[:classes, : classes + bool(confusion[:classes, -1].any())]
    support = counts.sum(1)
    names = _names(files)
    labels = short_names(names)
    cell = next(pixels for most, pixels in CELLS if classes <= most)
    room = max(map(len, labels)) * LETTER
    level = room < cell  # the labels below the columns fit side by side
    cells = [
        {
            "row": row,
            "column": column,
            "count": int(counts[row, column]),
            "share": float(counts[row, column] / support[row]),
            "alpha": round(float(counts[row, column] / support[row]) ** 0.5, 3),
        }
        for row, column in np.argwhere(counts).tolist()
    ]
    return {
        "names": names,
        "labels": labels,
        "rows": classes,
        "columns": counts.shape[1],
        "support": support.tolist(),
        "cells": cells,
        "cell": cell,
        "left": round(room + 8 * LETTER),
        "top": 22 if level else round(room * (0.75 if cell > 20 else 1)) + 22,
        "right": 4 if level or cell < 20 else round(room * 0.75),
        "slant": 0 if level else 45 if cell > 20 else 90,
    }


def largest_confusions(files: EvaluationFiles) -> list[dict[str, Any]]:
    """Return the ten pairs of classes with the most errors.

    Each has `truth`, `predicted`, `count`, its `share` of the class and `of_errors` of all errors, and `worst`, the rows
    and names of the two samples that have most of it, or have it with the greatest confidence.
    """
    confusion, names, matrices = files.confusion, _names(files), files.matrices
    assert confusion is not None
    total = int(confusion[:-1].sum() - confusion[:-1].trace())
    return [
        {
            "truth": names[truth],
            "predicted": names[predicted],
            "count": int(confusion[truth, predicted]),
            "share": confusion[truth, predicted] / confusion[truth].sum(),
            "of_errors": confusion[truth, predicted] / total,
            "worst": [
                (row, str(files.samples["sample"][row]))
                for row in worst_rows(matrices, truth, predicted, files.samples.get("probability"))
            ],
        }
        for truth, predicted in largest_pairs(confusion)
    ]


def _taken(row: NDArray[np.int64], index: int, names: Sequence[str]) -> dict[str, Any] | None:
    """Return the class that another one is most often predicted as, and the share of it; None where there is no error."""
    others = row.copy()
    others[index] = 0
    most = int(others.argmax())
    return {"name": names[most], "share": others[most] / row.sum()} if others[most] else None


def _names(files: EvaluationFiles) -> list[str]:
    """Return the names of the classes and of void, which differ."""
    return [*names_beside([VOID], files.names), VOID]
