"""The page of an evaluation, report.html: every number comes from the files beside it and in the run's folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from metrics.fit import verdict_on_fit
from metrics.scores import SCORES, headline_of
from reports.figures.learning_curves import STREAMS, best_row, column_values
from reports.html import calibration, charts, classes, data, headline, samples
from reports.html.files import EvaluationFiles, read_files
from reports.html.pictures import Picture
from reports.html.render import render
from reports.html.selection import reasons, sample_scores
from reports.speed_limit import speed_limit
from run_folder import RunFolder, write_text
from settings.run import RunSettings, validated

PAGE = "report.html"
NORMAL = 1.96  # standard errors on each side of a 95 % interval


@dataclass(frozen=True)
class Gallery:
    """The pictures of a page.

    Args:
        pictures: by a sample's row in per_sample.npz, the four of `strip`, or the one of an image.
        legend: the name and the colour of each class, of masks.
        threshold: classes with an IoU up to this are shown where they fail worst.
        batch: images of the first training step as the network saw them, each with its name and, of images, its class.
    """

    pictures: Mapping[int, Sequence[Picture]] = field(default_factory=dict)
    legend: Sequence[tuple[str, str]] = ()
    threshold: float = 0.5
    batch: Sequence[tuple[Picture, str, str]] = ()


def write_report(folder: Path, run: RunFolder, score: str, gallery: Gallery) -> None:
    """Write report.html of the evaluation in `folder`, of a run; `score` is the one that the best epoch was chosen by."""
    files = read_files(folder, run)
    write_text(folder / PAGE, render("evaluation.html", **context(files, score, gallery)))


def context(files: EvaluationFiles, score: str, gallery: Gallery) -> dict[str, Any]:
    """Return all that the template of the page shows, by section."""
    settings = yaml.safe_load(files.settings)
    found: dict[str, Any] = {
        "scores": files.scores,
        "unit": files.unit,
        "status": files.status,
        "environment": files.environment,
        "model": (settings.get("model") or {}).get("name"),
        "data": settings["data"]["name"],
        "root": Path(str(settings["data"].get("root") or "")).name,
        "fraction": settings["data"].get("fraction") or 1,
        "max_epochs": settings["trainer"].get("max_epochs"),
        "patience": (settings.get("early_stopping") or {}).get("patience"),
        "up": data.to_run(files),
        "rank": files.rank,
        "trained_here": headline.trained_here(files),
        "commands": headline.commands(files),
        "drives": data.has_drives(files.split),
        "splits": data.splits(files.split),
        "shared_groups": data.shared(files.split, "group"),
        "shared_images": data.shared(files.split, "image", files.contents) if files.contents else None,
        "repeated": data.repeated(files.split, files.contents),
        "sizes": data.sizes(files.sizes),
        "batch": gallery.batch,
        "batch_size": settings["data"].get("batch_size"),
        "augmentation": (settings.get("aug") or {}).get("name"),
        "crops": "#" in (files.split[0]["sample"] if files.split else ""),
        "limit": speed_limit(files.timing, files.environment, validated(RunSettings, settings)),
        "legend": gallery.legend,
        "class_counts": data.class_counts(files.class_counts),
        "speed": data.speed(files, limited=settings["trainer"].get("limit_batches") is not None),
        "machine": data.environment(files),
        "settings": files.settings,
        "links": data.links(files),
        "curves": curves(files, score) if files.history else None,
        "results": None,
    }
    if files.confusion is not None:
        found["results"] = results(files, gallery)
    return found


def results(files: EvaluationFiles, gallery: Gallery) -> dict[str, Any]:
    """Return what the page has of an evaluation with truth."""
    rows, predictions = classes.class_rows(files), files.predictions
    values = sample_scores(files.matrices, files.samples["loss"] if predictions else None)
    why = reasons(files.matrices, files.names, values, gallery.threshold, predictions)
    return {
        "headline": headline.headline(files),
        "classes": rows,
        "around": classes.around_mean(rows, files.scores["f1_macro"]),
        "matrix": classes.matrix(files),
        "confusions": classes.largest_confusions(files),
        "histogram": samples.histogram(files, values),
        "samples": samples.described(files, values, why),
        "pictures": gallery.pictures,
        "slices": data.slices(files.slices),
        "calibration": calibration.reliability(files),
    }


def curves(files: EvaluationFiles, score: str) -> dict[str, Any]:
    """Return charts of the losses, the score and the learning rate over the epochs, counted from 1, and the best one."""
    epochs = [int(row["epoch"]) + 1 for row in files.history]
    best = best_row(files.history, score)
    marked = None if best is None else epochs[best]
    label = SCORES[score].label or score
    panels = [
        (title, {name: column_values(files.history, f"{stream}/{quantity}") for stream, name, _, _ in STREAMS})
        for title, quantity in (("loss", "loss"), (label, score))
    ]
    panels.append(("learning rate", {"at the end of the epoch": column_values(files.history, "lr")}))
    return {
        "charts": [(title, charts.line_chart(epochs, series, marked)) for title, series in panels],
        "best": marked,
        "last": epochs[-1],
        "score": score,
        "label": label,
        "value": None if best is None else column_values(files.history, f"val/{score}")[best],
        "fit": verdict_on_fit(files.history, score, _error(files, score), _majority(files, score)),
    }


def _error(files: EvaluationFiles, score: str) -> float:
    """Return the standard error of a score, from its 95 % interval on the evaluated split; 0 where there is none."""
    low, high = (files.scores["intervals"] or {}).get(score) or (0.0, 0.0)
    return (high - low) / (2 * NORMAL)


def _majority(files: EvaluationFiles, score: str) -> float | None:
    """Return the score of always predicting the commonest class of train; None where it is unknown."""
    known: float | None = (files.scores["baselines"] or {}).get("majority", {}).get(score)
    if known is not None:
        return known
    if files.confusion is None or not files.class_counts or "train" not in files.class_counts[0]:
        return None
    always = np.zeros_like(files.confusion)
    always[:, np.argmax([int(row["train"]) for row in files.class_counts])] = files.confusion.sum(axis=1)
    found = headline_of(always, files.scores["task"]).get(score)
    return None if found is None else float(found)
