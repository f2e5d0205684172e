"""Labels or masks for pictures that have no truth."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from datamodules.files.other_files import remedy
from datamodules.loading.unlabelled_images import find_pictures, picture_loader
from entry.errors import IncompleteError, RequestError
from entry.model import TrainedModel
from entry.request import Request
from label_spaces.space import names_beside
from reports.overlays import font_of
from reports.picture_masks import PictureMasks
from run_folder import RunFolder, free_name, write_table
from settings.base import as_typed
from settings.run import RunSettings
from streams import NEXT_LINE_SECONDS, print_to_stderr, printable

Batch = Mapping[str, Any]
MOST_NAMED = 20  # a longer list of unreadable files hides the rest of the message


def pictures(request: Request) -> list[Path]:
    """The pictures that `source=` names; prints what else is there. Raises RequestError or DatasetError where there are none."""
    source = request.keys.source
    if source is None:
        raise RequestError("source is missing. Type an image or a folder: source=IMAGE_OR_FOLDER")
    ignored: Counter[str] = Counter()
    found = find_pictures([source] if isinstance(source, str) else source, ignored)
    if others := remedy(ignored):
        print(f"note: source={as_typed(source)} holds other files too. {others}")
    return found


def predict(
    request: Request, folder: RunFolder, settings: RunSettings, paths: Sequence[Path]
) -> tuple[Path, Mapping[Path, str]]:
    """Predict each image: a label and probabilities, or for segmentation a mask and an overlay.

    Everything is written into the request's folder, with a row per readable image in predictions.csv.
    Returns the folder, and for each unreadable image the reason.
    """
    model = TrainedModel(folder, settings, request.keys.checkpoint)
    target = request.folder if request.folder_was_typed else free_name(request.folder)
    data, classes = settings.data, model.classes
    loader = picture_loader(paths, model.size, data.eval_batch_size, data.num_workers, data.bit_depth)
    target.mkdir(parents=True, exist_ok=True)
    rows: dict[int, list[Any]] = {}
    reasons: dict[Path, str] = {}
    writer = None if model.task == "classification" else PictureMasks(target, paths, model.label_space, data.bit_depth)
    for batch in _tracked(loader, len(paths), "images", settings.trainer.progress):
        reasons |= {paths[i]: reason for i, reason in batch["unreadable"].items()}
        index = batch["index"].tolist()
        names = [str(paths[i]) for i in index]
        if not index:
            continue
        if writer is None:
            found = map(_label, model.classify(batch["image"], names), [classes] * len(index))
        else:
            found = map(writer.save, index, model.segment(batch["image"], names)[0])
        rows |= {i: [name, *cells] for i, name, cells in zip(index, names, found, strict=True)}
    if writer is None:
        _write_table(target, rows, ["file", "label", "probability"], classes)
        return target, reasons
    if writer.renamed:
        rows = {i: [*cells, writer.names[i]] for i, cells in rows.items()}
    _write_table(target, rows, ["file"], classes, ["mask"] if writer.renamed else [])
    if rows and writer.renamed:
        print(
            f"note: masks that are not called as their image is, because another is or the name is too long: "
            f"{len(writer.renamed)}, such as {writer.renamed[0]}; the column mask of predictions.csv has the names."
        )
    if unnamed := [name for name in classes if not font_of(name)]:
        print(
            "note: no installed font has the letters of some classes; legends call them class N, N being their number in masks/: "
            f"{printable(', '.join(unnamed))}. Install a font of their script, such as Noto Sans."
        )
    return target, reasons


def _label(probabilities: NDArray[np.float32], classes: Sequence[str]) -> list[Any]:
    """The label of an image, its probability and that of each class."""
    best = int(probabilities.argmax())
    return [classes[best], *probabilities[[best]].tolist(), *probabilities.tolist()]


def _tracked(batches: Iterable[Batch], total: int | None, what: str, shown: bool | str) -> Iterator[Batch]:
    """Yield batches of `total` images, and show on stderr how many are done and the time left: as a bar, or a line each minute."""
    bar = sys.stderr.isatty() if shown == "auto" else bool(shown)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not bar) as progress:
        task, due = progress.add_task(what, total=total), time.monotonic() + NEXT_LINE_SECONDS
        for batch in batches:
            yield batch
            progress.advance(task, len(batch["index"]) + len(batch["unreadable"]))
            if not bar and time.monotonic() > due:
                state, due = progress.tasks[0], time.monotonic() + NEXT_LINE_SECONDS
                left = "" if state.time_remaining is None else f", {timedelta(seconds=int(state.time_remaining))} left"
                print_to_stderr(
                    f"{state.completed:.0f} of {total or 'an unknown number of'} {what} are predicted{left}"
                )


def _write_table(
    target: Path,
    rows: Mapping[int, Sequence[Any]],
    before: Sequence[str],
    classes: Sequence[str],
    after: Sequence[str] = (),
) -> None:
    """Write predictions.csv, where there are rows: a column per class stands between other columns, and has another name than these."""
    if not rows:
        return
    columns = names_beside([*before, *after], classes)
    write_table(target / "predictions.csv", [*before, *columns, *after], [rows[i] for i in sorted(rows)])
    renamed = [f"of {name} is {column!r}" for name, column in zip(classes, columns, strict=True) if name != column]
    if renamed:
        print(
            f"note: predictions.csv has columns of its own that are called as a class is; the column {', '.join(renamed)}."
        )


def check_complete(unreadable: Mapping[Path, str], count: int) -> None:
    """Raise IncompleteError naming the images that could not be read, if there are any."""
    if unreadable:
        named = "\n".join(f"  {reason}" for reason in list(unreadable.values())[:MOST_NAMED])
        more = f"\n  … and {len(unreadable) - MOST_NAMED} more" if len(unreadable) > MOST_NAMED else ""
        which = f"{len(unreadable)} of {count} images could not be read; the others are predicted."
        none = "The image could not be read." if count == 1 else f"None of the {count} images could be read."
        raise IncompleteError(f"{none if len(unreadable) == count else which}\n{named}{more}")
