"""What a run prints before its first step and after its last."""

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from callbacks.stderr import tell
from datamodules.base import ImageDataModule
from datamodules.segmentation import SegmentationDataModule
from entry.request import Request
from entry.run import Run
from label_spaces.crosswalk import Crosswalk
from reports.crosswalk import crosswalk_summary
from reports.figures.style import undrawable
from reports.formatting import with_interval
from reports.intervals import FEW
from run_folder import RunFolder, read_csv, read_json

MOST_NAMED = 6  # rare classes in a note
MOST_CLASSES = 30  # more rows than this push everything else off the screen


def console() -> Console:
    """Standard output, at the terminal's width or a log's."""
    return Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False, soft_wrap=not sys.stdout.isatty()
    )


def announce(run: Run) -> None:
    """Print classes and counts, notes on the data, model, weights, device and precision."""
    screen, settings, datamodule, machine = console(), run.settings, run.datamodule, run.machine
    screen.print(_classes(datamodule))
    for note in datamodule.notes:
        screen.print(f"note: {note}")
    if run.weights.note:
        screen.print(f"weights: {run.weights.note}")
    parameters = sum(parameter.numel() for parameter in run.module.network.parameters())
    height, width = settings.data.image_size
    screen.print(
        f"{settings.model.name}: {parameters / 1e6:.2f} M parameters, weights {run.weights.used}, images {width}×{height}, "
        f"aug {settings.aug.name}, batch {settings.data.batch_size}, {settings.trainer.max_epochs} epochs"
    )
    ranks = f"{machine.ranks} processes of " if machine.ranks > 1 else ""
    screen.print(
        f"{machine.accelerator} ({machine.device_name}), precision {machine.precision}, {ranks}{machine.threads} threads"
    )


def _classes(datamodule: ImageDataModule) -> Table:
    counts = datamodule.counts()
    space = datamodule.label_space
    title = f"{space.name}: {space.num_classes} classes, {datamodule.unit} of each"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("class")
    for split in counts:
        table.add_column(split, justify="right")
    for name in space.classes[:MOST_CLASSES]:
        table.add_row(name, *(f"{counts[split].get(name, 0):,}" for split in counts))
    if space.num_classes > MOST_CLASSES:
        table.add_row(f"… {space.num_classes - MOST_CLASSES} more", *("" for _ in counts))
    table.add_row(f"all {datamodule.unit}", *(f"{sum(counts[split].values()):,}" for split in counts), style="bold")
    if datamodule.unit == "pixels":
        table.add_row("frames", *(f"{len(datamodule.table.indices(split)):,}" for split in counts), style="bold")
    return table


def resized(datamodule: ImageDataModule, split: str) -> None:
    """Print how many frames are not evaluated at their own size, if any."""
    note = datamodule.size_note(split) if isinstance(datamodule, SegmentationDataModule) else None
    if note:
        console().print(f"note: {note}")


def ignored(request: Request) -> None:
    """Print which overrides are ignored with run=: those of the split, and the folder."""
    typed = [key for key in request.typed_keys if key.startswith(("data.fraction", "data.split"))]
    if typed:
        console().print(f"note: {', '.join(typed)} is ignored with run=: the split is the run's own split.csv.")
    if request.folder_was_typed:
        console().print("note: hydra.run.dir is ignored with run=: an evaluation lies in the folder of its run.")


def resuming(folder: RunFolder, notes: Sequence[str]) -> None:
    """Print which run is resumed, and from where."""
    screen = console()
    screen.print(f"resuming {folder.path}")
    for note in notes:
        screen.print(f"note: {note}")


def nothing_to_do(folder: RunFolder, otherwise: Sequence[str]) -> None:
    """Print that a finished run stays as it is; `otherwise` are overrides of its evaluation."""
    print("This run is finished; nothing was changed. For more epochs type trainer.max_epochs=NUMBER.")
    if otherwise:
        command = shlex.join(["python", "evaluate.py", f"run={folder.path}", *otherwise])
        print(f"Its evaluation stays as it is; for another: {command}")
    split = "test" if any(row["split"] == "test" for row in read_csv(folder.split)) else "val"
    if (folder.evaluation(split) / "scores.json").exists():
        conclude(folder, split)
        return
    print(f"It has no evaluation any more; for one: {shlex.join(['python', 'evaluate.py', f'run={folder.path}'])}")
    print(folder.path, flush=True)


def external(datamodule: SegmentationDataModule, split: str, note: str, crosswalk: Crosswalk | None) -> None:
    """Print what is evaluated that was not made here, and which classes its label space cannot express."""
    screen, space = console(), datamodule.label_space
    for line in (*datamodule.notes, note):
        if line:
            screen.print(f"note: {line}")
    size = datamodule.scored_at(split)
    where = "their own sizes" if size is None else f"{size[1]}×{size[0]}"
    screen.print(f"{split}: {len(datamodule.table.indices(split))} frames at {where}, {space.name}")
    if crosswalk is None:
        return
    source = crosswalk.source.name
    verbs = {"partly": "can express a part only of", "shared": "counts as another class", "no": "cannot express"}
    for status, verb in verbs.items():
        if names := crosswalk.named(status):
            screen.print(f"note: {source} {verb} {', '.join(names)}.")


def ended_early(epoch: int, of: int, patience: int | None, loss: float) -> None:
    """Print on stderr, below the lines of its epochs, that early stopping ended a training; `loss` is the last of validation."""
    why = f"has not fallen for early_stopping.patience={patience}" if math.isfinite(loss) else f"is {loss}"
    tell(f"early stopping: after epoch {epoch} of {of}, as val/loss {why}")


def conclude(folder: RunFolder, split: str) -> None:
    """Print the headline scores of a split's evaluation, and the folder as the last line."""
    place = folder.evaluation(split)
    scores = read_json(place / "scores.json")
    if (place / "figures").exists():
        print(f"figures: {place / 'figures'}")
        if names := undrawable(entry["name"] for entry in scores["classes"]):
            print(f"note: the figures' font lacks letters, which they show as boxes: {', '.join(names[:MOST_NAMED])}")
    if (place / "predictions").exists():
        print(f"predictions: {place / 'predictions'}")
    if few := scores.get("few_groups"):  # evaluations of earlier versions lack it
        told = ", ".join(f"{name} {count}" for name, count in list(few.items())[:MOST_NAMED])
        more = f" and {len(few) - MOST_NAMED} more (few_groups in scores.json)" if len(few) > MOST_NAMED else ""
        print(
            f"note: true in fewer than {FEW} drives (images, where there are none): {told}{more}; chance may have made their scores"
        )
    for line in _beside(scores) if scores["task"] == "segmentation" and scores["accuracy"] is not None else ():
        print(line)
    print(f"{split}: {_headline(scores)}")
    if scores["crossing"] and scores["accuracy"] is not None:
        interval = scores["intervals"]["miou_expressible"]
        print(crosswalk_summary(scores["crossing"], len(scores["classes"]), interval))
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
        told = "  ".join(f"{name} {level['miou']:.3f}" for name, level in scores["levels"].items())
        lines.append(f"miou at coarser levels: {told}")
    if scores["autonue_compat"]:
        figures = {name: each["miou"] for name, each in scores["autonue_compat"].items()}
        told = "  ".join(f"{name} {'nan' if value is None else f'{value:.3f}'}" for name, value in figures.items())
        lines.append(f"IDD's own script prints, faults included: {told}")
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
