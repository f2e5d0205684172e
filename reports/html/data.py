"""The data, the speed and the files of an evaluation's page."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from reports.html.files import EvaluationFiles, Rows

OF_EVALUATION = ("scores.json", "per_class.csv", "confusion.csv", "uncrossed.csv", "class_counts.csv", "image_sizes.csv", "slices.csv", "calibration.csv", "per_sample.npz", "config.yaml", "status.json", "figures", "predictions")  # fmt: skip
OF_RUN = ("config.yaml", "overrides.txt", "environment.json", "status.json", "split.csv", "files.csv", "label_space.json", "predicted_label_space.json", "crosswalk.csv", "history.csv", "timing.csv")  # fmt: skip
ORDER = ("train", "select", "val", "test")  # of the splits
MOST_SIZES = 5  # of images, that are named


def splits(split: Rows) -> list[dict[str, Any]]:
    """Return for each split its `name`, and its numbers of `samples` and `groups`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for row in split:
        groups[row["split"]].append(row["group"])
    known = sorted(groups, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    return [{"name": name, "samples": len(groups[name]), "groups": len(set(groups[name]))} for name in known]


def has_drives(split: Rows) -> bool:
    """Return whether samples have a group that is not each one's own."""
    return len({row["group"] for row in split}) < len(split)


def shared(split: Rows, column: str, contents: Rows = ()) -> list[tuple[str, list[str]]]:
    """Return what is in more than one split, with the splits: values of a column of split.csv or of files.csv."""
    place = {row["sample"]: row["split"] for row in split}
    found: dict[str, set[str]] = defaultdict(set)
    for row in contents or split:
        if row["sample"] in place and row[column]:
            found[row[column]].add(place[row["sample"]])
    return [(value, sorted(names)) for value, names in found.items() if len(names) > 1]


def repeated(split: Rows, contents: Rows) -> tuple[int, list[str]]:
    """Return how many images have the content of another one, and the names of those whose truth differs from the other's."""
    target = {row["sample"]: row["target"] for row in split}
    known = [row for row in contents if row["sample"] in target and row["image"]]
    truths: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in known:
        truths[row["image"]].add((row["truth"], target[row["sample"]]))
    return len(known) - len(truths), [row["sample"] for row in known if len(truths[row["image"]]) > 1]


def sizes(rows: Rows) -> list[dict[str, Any]]:
    """Return for each split of image_sizes.csv its `name`, the number of different `sizes`, and the `commonest` with their counts."""
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in rows:
        found[row["split"]].append((row["size"], int(row["samples"])))
    commonest = {name: sorted(each, key=lambda pair: -pair[1])[:MOST_SIZES] for name, each in found.items()}
    return [{"name": name, "sizes": len(each), "commonest": commonest[name]} for name, each in found.items()]


def slices(rows: Rows) -> list[dict[str, Any]]:
    """Return slices.csv with numbers; an empty cell is None."""
    texts = ("slice", "value")
    return [{key: text if key in texts else float(text) if text else None for key, text in row.items()} for row in rows]


def class_counts(rows: Rows) -> list[dict[str, Any]]:
    """Return class_counts.csv with whole numbers, and the `shares` of each split's total."""
    names = [column for column in (rows[0] if rows else ()) if column != "name"]
    totals = {name: sum(int(row[name]) for row in rows) for name in names}
    return [
        {
            "name": row["name"],
            "counts": {name: int(row[name]) for name in names},
            "shares": {name: int(row[name]) / max(1, totals[name]) for name in names},
        }
        for row in rows
    ]


def speed(files: EvaluationFiles, *, limited: bool) -> dict[str, Any]:
    """Return seconds of training, as far as history.csv has them, and of the evaluation, and samples per second.

    `limited` is whether an epoch of training does not use every sample.
    """
    seconds = [float(row["seconds"]) for row in files.history if row.get("seconds")]
    trained = sum(row["split"] == "train" for row in files.split)
    epoch = median(seconds) if seconds else None
    evaluation = files.status["seconds"]
    return {
        "epochs": len(seconds),
        "training": sum(seconds) if seconds else None,
        "epoch": epoch,
        "training_rate": trained / epoch if epoch and not limited else None,
        "evaluation": evaluation,
        "evaluation_rate": files.scores["n_seen"] / evaluation if evaluation else None,
    }


def environment(files: EvaluationFiles) -> list[tuple[str, str]]:
    """Return what environment.json has of the machine and the packages, as names and texts."""
    found = []
    for name, value in files.environment.items():
        if name in ("notes", "skipped", "loggers"):
            continue
        text = ", ".join(f"{key} {part}" for key, part in value.items() if part is not None) if isinstance(value, dict) else value  # fmt: skip
        if text is not None:
            found.append((name.replace("_", " "), str(text)))
    return found


def to_run(files: EvaluationFiles) -> str:
    """Return the relative address of the run's folder."""
    return os.path.relpath(files.run.path, files.run.evaluation(files.scores["split"]))


def links(files: EvaluationFiles) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the files of the evaluation and of the run that exist, as names and relative addresses."""
    up = to_run(files)
    return [
        ("this evaluation", [(name, quote(name)) for name in _existing(OF_EVALUATION, files.folder)]),
        ("its run", [(name, f"{up}/{quote(name)}") for name in _existing(OF_RUN, files.run.path)]),
    ]


def _existing(names: Sequence[str], folder: Path) -> list[str]:
    return [name for name in names if (folder / name).exists()]
