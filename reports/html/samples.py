"""The samples of an evaluation's page: their scores, and which are worst, in the middle and best."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.per_image import image_mious
from reports.html.files import EvaluationFiles

BINS = 20
WORST, MIDDLE, BEST = 10, 3, 3  # samples that are listed
CONFIDENT, UNCERTAIN = 2, 6  # mistakes per class, and images of classification


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


def listed_samples(files: EvaluationFiles, scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return the worst, middle and best samples by their score, each with its share of all errors and its largest confusion.

    Each has its `index` in per_sample.npz and `why`, ``worst``, ``median`` or ``best``; none is listed twice.
    """
    order = np.argsort(scores, kind="stable")[: int((~np.isnan(scores)).sum())].tolist()  # nan is sorted to the end
    middle = max(0, (len(order) - MIDDLE) // 2)
    chosen = dict.fromkeys(order[:WORST], "worst")
    chosen |= {index: "median" for index in order[middle : middle + MIDDLE] if index not in chosen}
    chosen |= {index: "best" for index in order[::-1][:BEST] if index not in chosen}
    return described(files, scores, chosen)


def most_confident_mistakes(files: EvaluationFiles, scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return for each class the images of it that are most confidently predicted as another."""
    facts = files.samples
    order = np.argsort(-facts["probability"], kind="stable")
    wrong = order[(facts["target"] != facts["prediction"])[order]]
    chosen: dict[int, str] = {}
    for index, name in enumerate(files.names):
        chosen |= dict.fromkeys(wrong[facts["target"][wrong] == index][:CONFIDENT].tolist(), name)
    return described(files, scores, chosen)


def most_uncertain(files: EvaluationFiles, scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return the images whose prediction has the lowest probability."""
    order = np.argsort(files.samples["probability"], kind="stable")[:UNCERTAIN].tolist()
    return described(files, scores, dict.fromkeys(order, "uncertain"))


def described(files: EvaluationFiles, scores: NDArray[np.float64], chosen: dict[int, str]) -> list[dict[str, Any]]:
    """Return what the page has of some samples, by their indices, with the reason why each was chosen."""
    matrices, classes, facts = files.matrices(), len(files.names), files.samples
    names = [*files.names, "void"]
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
                "index": index,
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
