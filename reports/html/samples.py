"""The samples of an evaluation's page: their scores, and which are worst, in the middle and best."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from label_spaces.space import VOID
from metrics.per_image import image_mious
from reports.html.files import EvaluationFiles
from reports.html.selection import by_score, confident_mistakes, failing, largest_pairs, uncertain, worst_rows

BINS = 20


def sample_scores(files: EvaluationFiles) -> NDArray[np.float64]:
    """Return (N,) a score in 0–1 of each sample, nan without truth: a mask's own mIoU, or an image's probability of its true class.

    The latter follows from the loss, the cross-entropy.
    """
    if "probability" in files.samples:
        return np.exp(-files.samples["loss"].astype(np.float64))
    return image_mious(files.matrices())


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


def reasons(files: EvaluationFiles, scores: NDArray[np.float64], threshold: float) -> dict[int, list[str]]:
    """Return why each sample is shown, by its row: the worst ones first.

    Classes with an IoU up to `threshold` are shown where they fail worst.
    """
    matrices, facts, names = files.matrices(), files.samples, [*files.names, VOID]
    assert files.confusion is not None
    found: dict[int, list[str]] = defaultdict(list)
    for row, place in by_score(scores).items():
        found[row].append(place)
    if "probability" not in facts:
        for index, row in failing(matrices, threshold).items():
            found[row].append(f"{names[index]} fails worst here")
    for truth, predicted in largest_pairs(files.confusion):
        for row in worst_rows(matrices, truth, predicted, facts.get("probability")):
            found[row].append(f"{names[truth]} taken for {names[predicted]}")
    if "probability" in facts:
        for index, rows in confident_mistakes(facts["target"], facts["prediction"], facts["probability"]).items():
            for row in rows:
                found[row].append(f"a most confident mistake on {names[index]}")
        for row in uncertain(facts["probability"]):
            found[row].append("most uncertain")
    return found


def described(files: EvaluationFiles, scores: NDArray[np.float64], chosen: Mapping[int, Any]) -> list[dict[str, Any]]:
    """Return what the page has of some samples, by their rows in per_sample.npz, with the reason why each was chosen."""
    matrices, classes, facts = files.matrices(), len(files.names), files.samples
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
