"""Labels or masks for pictures that have no truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from callbacks.finite_checks import FiniteLogits
from callbacks.prediction_writer import PictureMasks
from datamodules.loading.unlabelled_images import find_pictures, picture_loader
from entry.builders.modules import build_module
from entry.builders.trainer import build_trainer
from entry.checkpoint import find_checkpoint, load
from entry.errors import IncompleteError, RequestError
from entry.hardware import choose
from entry.request import Request
from label_spaces import catalogue
from label_spaces.space import LabelSpace
from run_folder import RunFolder, free_name, read_json, write_csv
from settings.run import RunSettings

MOST_NAMED = 20  # a longer list of unreadable files hides the rest of the message


def pictures(request: Request) -> list[Path]:
    """The pictures that `source=` names. Raises RequestError or DatasetError where there are none."""
    if request.keys.source is None:
        raise RequestError("source is missing. Type an image or a folder: source=IMAGE_OR_FOLDER")
    return find_pictures(Path(request.keys.source))


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
    loader = picture_loader(paths, size, data.eval_batch_size, data.num_workers)
    target = request.folder if request.folder_was_typed else free_name(request.folder)
    writer = None
    if settings.model.task == "segmentation":
        writer = PictureMasks(target, paths, _with_colours(found.label_space))
    alone = trainer.model_copy(update={"devices": 1, "num_nodes": 1})  # whatever it was trained with
    callbacks: list[Callback] = [FiniteLogits([str(path) for path in paths]), *([] if writer is None else [writer])]
    predictor = build_trainer(settings, choose(alone), folder, headline=module.headline, callbacks=callbacks)
    target.mkdir(parents=True, exist_ok=True)
    if writer is not None:
        predictor.predict(module, loader, return_predictions=False)
        rows, reasons = writer.rows, writer.unreadable
    else:
        rows, reasons = _labels(predictor.predict(module, loader) or [], paths, found.label_space.classes)
    if rows:
        write_csv(target / "predictions.csv", [rows[i] for i in sorted(rows)])
    return target, reasons


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
) -> tuple[dict[int, dict[str, Any]], dict[Path, str]]:
    """By picture: file, label, probability and the probability of each class; and the reasons of those that are unreadable."""
    rows: dict[int, dict[str, Any]] = {}
    reasons: dict[Path, str] = {}
    for index, probabilities, _, unreadable in batches:
        reasons |= {paths[i]: reason for i, reason in unreadable.items()}
        for i, row in zip(index.tolist(), probabilities.tolist(), strict=True):
            best = max(range(len(row)), key=row.__getitem__)
            named = dict(zip(classes, row, strict=True))
            rows[i] = {"file": str(paths[i]), "label": classes[best], "probability": row[best], **named}
    return rows, reasons


def _with_colours(space: LabelSpace) -> LabelSpace:
    """A checkpoint holds the names of the classes; where they are a label space of ours, it has colours too."""
    known = catalogue.load(space.name) if space.name in catalogue.names() else space
    return known if known.classes == space.classes else space


def check_complete(unreadable: Mapping[Path, str], count: int) -> None:
    """Raise IncompleteError naming the images that could not be read, if there are any."""
    if unreadable:
        named = "\n".join(f"  {reason}" for reason in list(unreadable.values())[:MOST_NAMED])
        more = f"\n  … and {len(unreadable) - MOST_NAMED} more" if len(unreadable) > MOST_NAMED else ""
        raise IncompleteError(
            f"{len(unreadable)} of {count} images could not be read; the others are predicted.\n{named}{more}"
        )
