"""Labels or masks for pictures that have no truth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from callbacks.finite_checks import FiniteLogits
from callbacks.prediction_writer import PictureMasks
from datamodules.files.other_files import remedy
from datamodules.loading.unlabelled_images import find_pictures, picture_loader
from entry.builders.crosswalk import own_space
from entry.builders.modules import build_module
from entry.builders.trainer import build_trainer
from entry.checkpoint import find_checkpoint, load
from entry.errors import IncompleteError, RequestError
from entry.hardware import choose
from entry.request import Request
from label_spaces import catalogue
from label_spaces.space import LabelSpace, names_beside
from reports.overlays import font_of
from run_folder import RunFolder, free_name, read_json, write_table
from settings.base import as_typed
from settings.data import DataSettings
from settings.run import RunSettings
from streams import printable

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
    found = find_checkpoint(folder, request.keys.checkpoint)
    module, _ = build_module(settings, found.label_space, weights="none")
    load(module, found)
    data, trainer = settings.data, settings.trainer
    size = data.eval_size or _evaluated_size(folder) or data.image_size
    loader = picture_loader(paths, size, data.eval_batch_size, data.num_workers, data.bit_depth)
    target = request.folder if request.folder_was_typed else free_name(request.folder)
    writer = None
    if settings.model.task == "segmentation":
        writer = PictureMasks(target, paths, _with_colours(folder, data, found.label_space), data.bit_depth)
    alone = trainer.model_copy(update={"devices": 1, "num_nodes": 1})  # whatever it was trained with
    callbacks: list[Callback] = [FiniteLogits([str(path) for path in paths]), *([] if writer is None else [writer])]
    predictor = build_trainer(settings, choose(alone), folder, headline=module.headline, callbacks=callbacks)
    target.mkdir(parents=True, exist_ok=True)
    classes = found.label_space.classes
    if writer is not None:
        predictor.predict(module, loader, return_predictions=False)
        masks = {"mask": writer.names} if writer.renamed else {}
        rows = {
            i: [str(paths[i]), *shares, *(names[i] for names in masks.values())] for i, shares in writer.shares.items()
        }
        _write_table(target, rows, ["file"], classes, [*masks])
        if rows and masks:
            print(
                f"note: masks that are not called as their image is, because another is or the name is too long: "
                f"{len(writer.renamed)}, such as {writer.renamed[0]}; the column mask of predictions.csv has the names."
            )
        if unnamed := [name for name in classes if not font_of(name)]:
            print(
                "note: no installed font has the letters of some classes; legends call them class N, N being their number in masks/: "
                f"{printable(', '.join(unnamed))}. Install a font of their script, such as Noto Sans."
            )
        return target, writer.unreadable
    rows, reasons = _labels(predictor.predict(module, loader) or [], paths, classes)
    _write_table(target, rows, ["file", "label", "probability"], classes)
    return target, reasons


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


def _evaluated_size(folder: RunFolder) -> tuple[int, int] | None:
    """(height, width) at which the run was evaluated: the frames' own, where the settings leave it to them."""
    for split in ("test", "val"):
        scores = folder.evaluation(split) / "scores.json"
        if scores.is_file():
            height, width = read_json(scores)["policy"]["resolution"]
            return height, width
    return None


def _labels(
    batches: Sequence[Any], paths: Sequence[Path], classes: Sequence[str]
) -> tuple[dict[int, list[Any]], dict[Path, str]]:
    """By picture: file, label, probability and the probability of each class; and the reasons of those that are unreadable."""
    rows: dict[int, list[Any]] = {}
    reasons: dict[Path, str] = {}
    for index, probabilities, _, unreadable in batches:
        reasons |= {paths[i]: reason for i, reason in unreadable.items()}
        for i, row in zip(index.tolist(), probabilities.tolist(), strict=True):
            best = max(range(len(row)), key=row.__getitem__)
            rows[i] = [str(paths[i]), classes[best], row[best], *row]
    return rows, reasons


def _with_colours(folder: RunFolder, data: DataSettings, space: LabelSpace) -> LabelSpace:
    """A checkpoint holds the names of the classes; the run's own label space, or one of ours, has colours too."""
    known = own_space(folder, data) or (catalogue.load(space.name) if space.name in catalogue.names() else space)
    return known if known.classes == space.classes else space


def check_complete(unreadable: Mapping[Path, str], count: int) -> None:
    """Raise IncompleteError naming the images that could not be read, if there are any."""
    if unreadable:
        named = "\n".join(f"  {reason}" for reason in list(unreadable.values())[:MOST_NAMED])
        more = f"\n  … and {len(unreadable) - MOST_NAMED} more" if len(unreadable) > MOST_NAMED else ""
        which = f"{len(unreadable)} of {count} images could not be read; the others are predicted."
        none = "The image could not be read." if count == 1 else f"None of the {count} images could be read."
        raise IncompleteError(f"{none if len(unreadable) == count else which}\n{named}{more}")
