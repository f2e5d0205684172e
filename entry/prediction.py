"""Labels for pictures that have no truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.pictures import find_pictures, picture_loader
from entry.build import Config, build_module, build_trainer, data_settings
from entry.door import Request, RequestError
from entry.errors import IncompleteError
from entry.evaluation import find_checkpoint, load
from entry.hardware import choose
from run_folder import RunFolder, free_name, write_csv

MOST_NAMED = 20  # a longer list of unreadable files hides the rest of the message


def pictures(request: Request) -> list[Path]:
    """The pictures that `source=` names. Raises RequestError or DatasetError where there are none."""
    if request.config.source is None:
        raise RequestError("source is missing. Type a picture or a folder: source=IMAGE_OR_FOLDER")
    return find_pictures(Path(str(request.config.source)).expanduser())


def label(
    folder: RunFolder, config: Config, checkpoint: str, paths: Sequence[Path]
) -> tuple[list[dict[str, Any]], Mapping[Path, str]]:
    """Predict each picture.

    Returns:
        a row per readable picture (file, label, probability, and the probability of each class), and for each
        unreadable one the reason.
    """
    found = find_checkpoint(folder, checkpoint)
    module, _ = build_module(config, found.label_space, weights="none")
    load(module, found)
    settings = data_settings(config)
    loader = picture_loader(paths, settings.image_size, settings.eval_batch_size, settings.worker_count())
    alone = {**config["trainer"], "devices": 1, "num_nodes": 1}  # whatever it was trained with
    trainer = build_trainer(config, choose(alone), folder, headline=module.headline)
    rows: dict[int, dict[str, Any]] = {}
    reasons: dict[Path, str] = {}
    for index, probabilities, unreadable in trainer.predict(module, loader) or []:
        reasons |= {paths[i]: reason for i, reason in unreadable.items()}
        for i, row in zip(index.tolist(), probabilities.tolist(), strict=True):
            best = max(range(len(row)), key=row.__getitem__)
            named = dict(zip(found.label_space.classes, row, strict=True))
            rows[i] = {
                "file": str(paths[i]),
                "label": found.label_space.classes[best],
                "probability": row[best],
                **named,
            }
    return [rows[i] for i in sorted(rows)], reasons


def write(request: Request, table: Sequence[Mapping[str, Any]]) -> Path:
    """Write predictions.csv into the request's folder, and return that folder. Without rows nothing is written."""
    folder = request.folder if request.folder_was_typed else free_name(request.folder)
    folder.mkdir(parents=True, exist_ok=True)
    if table:
        write_csv(folder / "predictions.csv", table)
    return folder


def complain(unreadable: Mapping[Path, str], asked: int) -> None:
    """Raise IncompleteError naming the pictures that could not be read, if there are any."""
    if unreadable:
        named = "\n".join(f"  {reason}" for reason in list(unreadable.values())[:MOST_NAMED])
        more = f"\n  … and {len(unreadable) - MOST_NAMED} more" if len(unreadable) > MOST_NAMED else ""
        raise IncompleteError(
            f"{len(unreadable)} of {asked} pictures could not be read; the others are labelled.\n{named}{more}"
        )
