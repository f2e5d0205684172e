"""The head of an evaluation's page: what was evaluated, its headline scores and the baselines beside them."""

import shlex
from typing import Any

from metrics.scores import SCORES, headline_scores
from reports.html.files import EvaluationFiles

JUDGED = {
    "classification": "accuracy",
    "segmentation": "miou",
}  # the score that is named first, and that baselines are judged by


def headline(files: EvaluationFiles) -> list[dict[str, Any]]:
    """Return for each headline score its `label`, `value`, `interval`, the number of `classes` it is a mean over, its `baselines`, and the `best` of them.

    `above` is whether the whole interval is above the best baseline, None where it is neither above nor below.
    """
    scores, task = files.scores, files.scores["task"]
    found = []
    for name in sorted(headline_scores(task), key=lambda name: name != JUDGED[task]):
        known = {
            each: values[name] for each, values in (scores["baselines"] or {}).items() if values.get(name) is not None
        }
        best = max(known, key=known.__getitem__, default=None)  # of equals the first, which is the majority
        interval = (scores["intervals"] or {}).get(name)
        found.append(
            {
                "name": name,
                "label": SCORES[name].label or name,
                "value": scores[name],
                "interval": interval,
                "classes": scores.get(f"{name}_classes"),
                "baselines": known,
                "best": best,
                "above": _side(known.get(best), interval),
            }
        )
    return found


def _side(baseline: float | None, interval: list[float] | None) -> bool | None:
    if baseline is None or interval is None or interval[0] <= baseline <= interval[1]:
        return None
    return interval[0] > baseline


def trained_here(files: EvaluationFiles) -> bool:
    """Return whether a training of ours made the predictions, and not external weights or masks."""
    return files.scores["checkpoint"].get("epoch") is not None


def commands(files: EvaluationFiles) -> list[str]:
    """Return the command lines that repeat the training and the evaluation, or the evaluation of an external model."""
    if not trained_here(files):
        return [shlex.join(["python", "evaluate.py", *files.overrides])]
    evaluation = ["python", "evaluate.py", f"run={files.run.path}", f"split={files.scores['split']}"]
    if files.run.is_export:  # with one set of weights, and without what was typed to train them
        return [shlex.join([*evaluation, *files.changed])]
    checkpoint = f"checkpoint={files.scores['checkpoint']['file'].removesuffix('.ckpt')}"
    return [shlex.join(["python", "train.py", *files.overrides]), shlex.join([*evaluation, checkpoint, *files.changed])]
