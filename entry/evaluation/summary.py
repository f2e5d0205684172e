"""The last lines that a command prints about an evaluation."""

from collections.abc import Mapping
from typing import Any

from datamodules.base import ImageDataModule
from datamodules.segmentation import SegmentationDataModule
from entry.config.external import has_effect
from entry.evaluation.assemble import differences
from entry.request import Request
from entry.run import Run
from reports.crosswalk import crosswalk_summary
from reports.evaluation_files import read_scores
from reports.figures.style import undrawable
from reports.formatting import with_interval
from reports.html.evaluation import PAGE
from reports.intervals import FEW
from reports.speed_limit import speed_limit
from run_files import Environment, EpochRow, TimingRow, read_csv, read_json, read_rows
from run_folder import RunFolder
from settings.run import RunSettings
from streams import printable

MOST_NAMED = 6  # rare classes in a note


def print_summary(folder: RunFolder, split: str) -> None:
    """Print the headline scores of a split's evaluation, and the folder as the last line."""
    place = folder.evaluation(split)
    scores = read_scores(place / "scores.json")
    if (place / "figures").exists():
        print(f"figures: {place / 'figures'}")
        if names := undrawable(entry["name"] for entry in scores["classes"]):
            named = printable(", ".join(names[:MOST_NAMED]))
            print(f"note: the figures' font lacks letters, which they show as boxes: {named}")
    if (place / PAGE).exists():
        print(f"page: {place / PAGE}")
    if (place / "predictions").exists():
        print(f"predictions: {place / 'predictions'}")
    if few := scores.get("few_groups"):  # evaluations of earlier versions lack it
        classes = printable(", ".join(f"{name} {count}" for name, count in list(few.items())[:MOST_NAMED]))
        more = f" and {len(few) - MOST_NAMED} more (few_groups in scores.json)" if len(few) > MOST_NAMED else ""
        print(
            f"note: true in fewer than {FEW} drives (images, where there are none): {classes}{more}; chance may have made their scores"
        )
    for line in _beside(scores) if scores["task"] == "segmentation" and scores["accuracy"] is not None else ():
        print(line)
    print(f"{split}: {_headline(scores)}")
    if scores["crossing"] and scores["accuracy"] is not None:
        interval = scores["intervals"]["miou_expressible"]
        print(crosswalk_summary(scores["crossing"], len(scores["classes"]), interval))
    print(folder.path, flush=True)


def print_limit(folder: RunFolder, settings: RunSettings) -> None:
    """Print whether the loader or the device was the limit of a training, where that was measured."""
    if folder.timing.exists():
        limit = speed_limit(read_rows(folder.timing, TimingRow), read_json(folder.environment, Environment), settings)
        if limit is not None:
            print(f"limit: {limit.text}")


def reported_split(folder: RunFolder) -> str:
    """The split of a run that is reported: test, or val where its split.csv has no test."""
    return "test" if any(row["split"] == "test" for row in read_csv(folder.split)) else "val"


def print_validated(folder: RunFolder, headline: str) -> None:
    """Print the best validation score of a run that is not evaluated on the reported split, and the folder as the last line."""
    column = f"val/{headline}"
    rows = [row for row in read_rows(folder.history, EpochRow) if row.get(column)]
    if best := max(rows, key=lambda row: float(row[column]), default=None):
        print(f"{column} {float(best[column]):.3f} after epoch {int(best['epoch']) + 1}")
    print(
        "A job of a sweep: not evaluated on the reported split. For the best one: python evaluate.py sweep=SWEEP_FOLDER"
    )
    print(folder.path, flush=True)


def _beside(scores: Mapping[str, Any]) -> list[str]:
    """The rules by which masks are scored, and other figures that are called mIoU elsewhere."""
    size = scores["policy"]["resolution"]
    where = "at the frames' own sizes" if size is None else f"at {size[1]}×{size[0]}"
    present = f"{scores['miou_present_classes']} of {scores['miou_classes']}"
    by_frame = f"{scores['miou_image']:.3f} (each frame by itself; the worst 5 %: {scores['miou_image_worst']:.3f})"
    safe = "" if scores["safe_miou"] is None else f"  safe_miou {scores['safe_miou']:.3f}"
    lines = [
        f"scored {where}; void truth is ignored, a void prediction is a miss: void_rate {scores['void_rate']:.3f}",
        f"miou_present {scores['miou_present']:.3f} ({present} classes have truth)  miou_image {by_frame}{safe}",
    ]
    if scores["levels"]:
        levels = "  ".join(f"{name} {level['miou']:.3f}" for name, level in scores["levels"].items())
        lines.append(f"miou at coarser levels: {levels}")
    if scores["autonue_compat"]:
        figures = {name: each["miou"] for name, each in scores["autonue_compat"].items()}
        mious = "  ".join(f"{name} {'nan' if value is None else f'{value:.3f}'}" for name, value in figures.items())
        lines.append(f"IDD's own script prints, faults included: {mious}")
    return lines


def _headline(scores: Mapping[str, Any]) -> str:
    if scores["accuracy"] is None:
        return f"no truth, so no scores; {scores['n_seen']} of {scores['n_expected']} frames are predicted"
    names = (
        ("accuracy", "f1_macro", "f1_weighted") if scores["task"] == "classification" else ("miou", "fwiou", "accuracy")
    )
    intervals = scores["intervals"] or {}
    figures = [f"{name} {with_interval(scores[name], intervals.get(name))}" for name in names]
    judged = "accuracy" if scores["task"] == "classification" else "miou"
    known = {name: each[judged] for name, each in (scores["baselines"] or {}).items() if each[judged] is not None}
    best = max(known, key=known.__getitem__, default=None)  # of equals the first, which is the majority
    beside = f"  (baseline {best}: {judged} {known[best]:.3f})" if best is not None else ""
    return f"{'  '.join(figures)}{beside}"


def print_resized(datamodule: ImageDataModule, split: str) -> None:
    """Print how many frames are not evaluated at their own size, if any."""
    note = datamodule.size_note(split) if isinstance(datamodule, SegmentationDataModule) else None
    if note:
        print(f"note: {note}")


def print_differences(run: Run) -> None:
    """Print what is not as it was when a run was made."""
    for note in differences(run.folder, run.datamodule, [run.datamodule.test_split]):
        print(f"note: {note}")


def print_ignored(request: Request) -> None:
    """Print which overrides are ignored with run=: those of the split and of training, and the folder."""
    typed = [
        key
        for key in request.typed_keys
        if key in ("data.folds", "data.fold") or key.startswith(("data.fraction", "data.split"))
    ]
    if typed:
        print(f"note: {', '.join(typed)} is ignored with run=: the split is the run's own split.csv.")
    idle = [key for key in request.typed_keys if key not in typed and not has_effect(key)]
    if idle:
        print(
            f"note: {', '.join(idle)} is ignored with run=: it has no effect on what a trained model predicts or how it is scored."
        )
    if request.folder_was_typed:
        print("note: hydra.run.dir is ignored with run=: an evaluation lies in the folder of its run.")
