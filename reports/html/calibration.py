"""The calibration of an evaluation's page, from calibration.csv: reliability diagrams, sentences and the table of classes."""

from collections.abc import Mapping, Sequence
from typing import Any

from metrics.calibration import BAND, BINS
from reports.html.files import EvaluationFiles
from reports.intervals import FEW

SIDE, SHARES = 240, 44  # pixels of a diagram, and the height of the shares of the elements below it
MOST_DIAGRAMS = 26  # of classes: those with the largest part in the error

Row = Mapping[str, Any]


def reliability(files: EvaluationFiles) -> dict[str, Any] | None:
    """Return what the section shows; None where there is no calibration.csv.

    `parts` are all elements, and of masks the boundary and the interior: a summary with its diagram; `classes` likewise,
    by region; `drawn` are those whose diagrams are shown.
    """
    if not files.calibration:
        return None
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in map(_typed, files.calibration):
        if row["bin"] is None:
            found.setdefault(row["class"], {})[row["region"]] = {**row, "bins": []}
        else:
            found[row["class"]][row["region"]]["bins"].append(row)
    parts, classes = found.pop(""), list(found.values())
    whole = parts["all"]["count"]
    for each in (*parts.values(), *(each["all"] for each in classes)):
        each |= {
            "diagram": _diagram(each["bins"]),
            "share": each["count"] / whole,
            "worst": max(each["bins"], key=_cost),
        }
        each["few"] = each["groups"] if each["groups"] < FEW else None
    largest = sorted(classes, key=lambda each: -each["all"]["ece"] * each["all"]["count"])
    return {"parts": parts, "classes": classes, "drawn": largest[:MOST_DIAGRAMS], "bins": BINS, "band": BAND}


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a row with numbers; an empty cell is None, but for that of all classes."""
    numbers = {name: (None if not text else int(text) if name in ("bin", "count", "groups") else float(text)) for name, text in row.items() if name not in ("class", "region")}  # fmt: skip
    return {"class": row["class"], "region": row["region"], **numbers}


def _cost(row: Row) -> float:
    """Return a bin's part in the error, times the number of all elements."""
    return float(abs(row["confidence"] - row["accuracy"]) * row["count"])


def _diagram(bins: Sequence[Row]) -> list[dict[str, Any]]:
    """Return each bin with the places, in pixels from the left and the top, of what is drawn of it."""
    total, most = sum(row["count"] for row in bins), max(row["count"] for row in bins)
    right, sure = ([round(SIDE * (1 - row[name]), 1) for row in bins] for name in ("accuracy", "confidence"))
    return [
        {
            **row,
            "x": round(SIDE * (row["bin"] - 1) / BINS, 1),
            "low": (row["bin"] - 1) / BINS,
            "high": row["bin"] / BINS,
            "right": right[place],
            "gap": (min(right[place], sure[place]), round(abs(right[place] - sure[place]), 1)),
            "thin": row["count"] < 10 or row["count"] < total / 1000,
            "tall": round(SHARES * row["count"] / most, 1),
        }
        for place, row in enumerate(bins)
    ]
