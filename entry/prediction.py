"""Labels or masks for pictures that have no truth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.files.other_files import is_video, remedy
from datamodules.loading.unlabelled_images import VIDEOS_TOO, find_pictures, picture_loader
from entry.errors import IncompleteError, RequestError
from entry.model import TrainedModel
from entry.progress import tracked
from entry.request import Request
from entry.video import predict_video
from label_spaces.space import names_beside
from reports.overlays import font_of
from reports.picture_masks import PictureMasks, mask_names
from run_folder import RunFolder, free_name, write_table
from settings.base import as_typed
from settings.run import RunSettings
from streams import printable

MOST_NAMED = 20  # a longer list of unreadable files hides the rest of the message


def pictures(request: Request) -> list[Path]:
    """The pictures that `source=` names; prints what else is there. Raises RequestError or DatasetError where there are none."""
    source = request.keys.source
    if source is None:
        raise RequestError("source is missing. Type an image, a folder or a video: source=IMAGE_OR_FOLDER")
    ignored: Counter[str] = Counter()
    found = find_pictures([source] if isinstance(source, str) else source, ignored)
    videos = [path for path in found if is_video(path)]
    if videos and find_spec("av") is None:
        raise RequestError(f"{videos[0]} is a video, and the package that reads these is missing. Type: pip install av")
    if others := remedy(ignored):
        print(
            f"note: source={as_typed(source)} holds other files too. {others}{VIDEOS_TOO if ignored['videos'] else ''}"
        )
    return found


def predict(
    request: Request, folder: RunFolder, settings: RunSettings, paths: Sequence[Path]
) -> tuple[Path, Mapping[Path, str], Sequence[str]]:
    """Predict each image, and each frame of a video: a label and probabilities, or for segmentation a mask and an overlay.

    Everything is written into the request's folder, with a row per readable image in predictions.csv. Returns the folder,
    for each unreadable file the reason, and a sentence for each video that was read in part.
    """
    if request.keys.masks and settings.model.task == "classification":
        raise RequestError("masks=true is for segmentation, and this run's model predicts one class per image. Leave it out.")  # fmt: skip
    model = TrainedModel(folder, settings, request.keys.checkpoint)
    target = request.folder if request.folder_was_typed else free_name(request.folder)
    images, videos = ([path for path in paths if is_video(path) == wanted] for wanted in (False, True))
    labelled = model.task == "classification"
    writer = None if labelled else PictureMasks(target, images, model.label_space, settings.data.bit_depth)
    renamed = writer.renamed if writer else []
    reasons: dict[Path, str] = {}
    partly: list[str] = []
    found = _predict_images(model, images, writer, reasons)
    rows = [[str(images[i]), *([None] * 2 if videos else []), *found[i], *([writer.names[i]] if writer and renamed else [])] for i in sorted(found)]  # fmt: skip
    for path, name in zip(videos, mask_names(videos), strict=True):
        frames, defect = predict_video(model, path, target, name.removesuffix(".png"), masks=request.keys.masks)
        if defect and frames:
            partly.append(defect)
        elif defect:
            reasons[path] = defect
        for number, seconds, each in frames:
            cells = _label(each, model.classes) if labelled else each
            rows.append([str(path), number, seconds, *cells, *([None] if renamed else [])])
    target.mkdir(parents=True, exist_ok=True)
    before = ["file", *(["frame", "seconds"] if videos else []), *(["label", "probability"] if labelled else [])]
    _write_table(target, rows, before, model.classes, ["mask"] if renamed else [])
    if rows and renamed:
        print(
            f"note: masks that are not called as their image is, because another is or the name is too long: "
            f"{len(renamed)}, such as {renamed[0]}; the column mask of predictions.csv has the names."
        )
    if unnamed := [] if labelled else [name for name in model.classes if not font_of(name)]:
        print(
            "note: no installed font has the letters of some classes; legends call them class N, N being their number in masks/: "
            f"{printable(', '.join(unnamed))}. Install a font of their script, such as Noto Sans."
        )
    return target, reasons, partly


def _predict_images(
    model: TrainedModel, paths: Sequence[Path], writer: PictureMasks | None, reasons: dict[Path, str]
) -> dict[int, list[Any]]:
    """What predictions.csv has of each image, by index; adds to `reasons` why others cannot be read."""
    data = model.settings.data
    found: dict[int, list[Any]] = {}
    loader = picture_loader(paths, model.size, data.eval_batch_size, data.num_workers, data.bit_depth)
    for batch in tracked(iter(loader), len(paths), "images", model.settings.trainer.progress) if paths else ():
        reasons |= {paths[i]: reason for i, reason in batch["unreadable"].items()}
        index = batch["index"].tolist()
        names = [str(paths[i]) for i in index]
        if index and writer is None:
            shares = model.classify(batch["image"], names)
            found |= {i: _label(each, model.classes) for i, each in zip(index, shares, strict=True)}
        elif index and writer is not None:
            masks, _ = model.segment(batch["image"], names)
            found |= {i: writer.save(i, mask) for i, mask in zip(index, masks, strict=True)}
    return found


def _label(probabilities: NDArray[np.float32], classes: Sequence[str]) -> list[Any]:
    """The label of an image, its probability and that of each class."""
    best = int(probabilities.argmax())
    return [classes[best], *probabilities[[best]].tolist(), *probabilities.tolist()]


def _write_table(
    target: Path,
    rows: Sequence[Sequence[Any]],
    before: Sequence[str],
    classes: Sequence[str],
    after: Sequence[str] = (),
) -> None:
    """Write predictions.csv, where there are rows: a column per class stands between other columns, and has another name than these."""
    if not rows:
        return
    columns = names_beside([*before, *after], classes)
    write_table(target / "predictions.csv", [*before, *columns, *after], rows)
    renamed = [f"of {name} is {column!r}" for name, column in zip(classes, columns, strict=True) if name != column]
    if renamed:
        print(
            f"note: predictions.csv has columns of its own that are called as a class is; the column {', '.join(renamed)}."
        )


def check_complete(unreadable: Mapping[Path, str], count: int, partly: Sequence[str] = ()) -> None:
    """Raise IncompleteError naming the images that could not be read, and the videos that were read in part."""
    sentences = [*partly]
    if unreadable:
        kind = "video" if all(map(is_video, unreadable)) else "image"
        named = "\n".join(f"  {reason}" for reason in list(unreadable.values())[:MOST_NAMED])
        more = f"\n  … and {len(unreadable) - MOST_NAMED} more" if len(unreadable) > MOST_NAMED else ""
        which = f"{len(unreadable)} of {count} {kind}s could not be read; the others are predicted."
        none = f"The {kind} could not be read." if count == 1 else f"None of the {count} {kind}s could be read."
        sentences.append(f"{none if len(unreadable) == count else which}\n{named}{more}")
    if sentences:
        raise IncompleteError("\n".join(sentences))
