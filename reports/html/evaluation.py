"""The page of an evaluation, report.html: every number comes from the files beside it and in the run's folder."""

from pathlib import Path
from typing import Any

import yaml

from metrics.scores import SCORES
from reports.figures.learning_curves import STREAMS, best_row, column_values
from reports.html import charts, classes, data, headline, samples
from reports.html.files import EvaluationFiles, read_files
from reports.html.render import render
from run_folder import RunFolder, write_text

PAGE = "report.html"


def write_report(folder: Path, run: RunFolder, score: str) -> None:
    """Write report.html of the evaluation in `folder`, of a run; `score` is the one that the best epoch was chosen by."""
    files = read_files(folder, run)
    write_text(folder / PAGE, render("evaluation.html", **context(files, score)))


def context(files: EvaluationFiles, score: str) -> dict[str, Any]:
    """Return all that the template of the page shows, by section."""
    settings = yaml.safe_load(files.settings)
    found: dict[str, Any] = {
        "scores": files.scores,
        "unit": files.unit,
        "status": files.status,
        "environment": files.environment,
        "model": (settings.get("model") or {}).get("name"),
        "data": settings["data"]["name"],
        "trained_here": headline.trained_here(files),
        "commands": headline.commands(files),
        "drives": data.has_drives(files.split),
        "splits": data.splits(files.split),
        "shared_groups": data.shared(files.split, "group"),
        "shared_images": data.shared(files.split, "image", files.contents) if files.contents else None,
        "class_counts": data.class_counts(files.class_counts),
        "speed": data.speed(files, limited=settings["trainer"].get("limit_batches") is not None),
        "machine": data.environment(files),
        "settings": files.settings,
        "links": data.links(files),
        "curves": curves(files, score) if files.history else None,
        "results": None,
    }
    if files.confusion is not None:
        found["results"] = results(files)
    return found


def results(files: EvaluationFiles) -> dict[str, Any]:
    """Return what the page has of an evaluation with truth."""
    rows, values = classes.class_rows(files), samples.sample_scores(files)
    classification = files.scores["task"] == "classification"
    return {
        "headline": headline.headline(files),
        "classes": rows,
        "around": classes.around_mean(rows, files.scores["f1_macro"]),
        "matrix": classes.matrix(files),
        "confusions": classes.largest_confusions(files),
        "histogram": samples.histogram(files, values),
        "listed": samples.listed_samples(files, values),
        "mistakes": samples.most_confident_mistakes(files, values) if classification else [],
        "uncertain": samples.most_uncertain(files, values) if classification else [],
        "slices": files.slices,
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
        "label": label,
        "value": None if best is None else column_values(files.history, f"val/{score}")[best],
    }
