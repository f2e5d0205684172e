"""The samples of an evaluation's page: their scores, and which are worst, in the middle and best."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from label_spaces.space import VOID
from reports.html.files import EvaluationFiles

BINS = 20


def histogram(files: EvaluationFiles, scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return the numbers of samples by score in twenty bins: `low`, `high`, `right` and `wrong`; of masks all are `right`."""
    known = ~np.isnan(scores)
    wrong = np.zeros(len(scores), dtype=bool)
    if "target" in files.samples:
        wrong = files.samples["target"] != files.samples["prediction"]
    edges = np.linspace(0, 1, BINS + 1)
    counts = {
        name: np.histogram(scores[known & chosen], edges)[0].tolist()
        for name, chosen in (("right", ~wrong), ("wrong", wrong))
    }
    return [
        {"low": edges[i], "high": edges[i + 1], "right": counts["right"][i], "wrong": counts["wrong"][i]}
        for i in range(BINS)
    ]


def described(files: EvaluationFiles, scores: NDArray[np.float64], chosen: Mapping[int, Any]) -> list[dict[str, Any]]:
    """Return what the page has of some samples, by their rows in per_sample.npz, with the reason why each was chosen."""
    matrices, classes, facts = files.matrices, len(files.names), files.samples
    names = [*files.names, VOID]
    hits = np.arange(classes) * (classes + 2)
    support = np.asarray(matrices[:, : classes * (classes + 1)].sum(axis=1))
    errors = support - np.asarray(matrices[:, hits].sum(axis=1))
    total = max(1, int(errors.sum()))
    found = []
    for index, why in chosen.items():
        row = matrices[[index]].toarray().ravel()[: classes * (classes + 1)]
        row[hits] = 0
        truth, predicted = divmod(int(row.argmax()), classes + 1)
        largest = {"truth": names[truth], "predicted": names[predicted], "share": row.max() / support[index]}
        found.append(
            {
                "row": index,
                "why": why,
                "name": str(facts["sample"][index]),
                "group": str(facts["group"][index]),
                "score": float(scores[index]),
                "of_errors": int(errors[index]) / total,
                "largest": largest if row.max() else None,
                "probability": float(facts["probability"][index]) if "probability" in facts else None,
            }
        )
    return found
