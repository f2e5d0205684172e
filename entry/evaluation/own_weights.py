"""Weights of a run or an export of this project that are evaluated as external ones: their files beside them have their classes and normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

from datamodules.errors import shortened
from entry.config.changes import normalised
from entry.config.run_config import stored_settings
from entry.errors import RequestError
from entry.exported import read_manifest
from label_spaces.space import LabelSpace
from lightning_modules.weights.safe_load import read_checkpoint
from run_folder import RunFolder, is_run
from settings.export import WEIGHTS
from settings.run import RunSettings


@dataclass(frozen=True)
class Origin:
    """What weights were trained on."""

    label_space: str
    classes: tuple[str, ...]  # in the order of the network's outputs
    folder: RunFolder | None  # of the run or export that the file lies in


def origin_of(path: Path) -> Origin | None:
    """What the weights in a file were trained on; None where this project did not write it. Raises WeightsError or RequestError."""
    folder = RunFolder(path.parent)
    if is_run(folder.path) and folder.is_export and path.name in WEIGHTS.values():
        manifest = read_manifest(folder)
        return Origin(manifest.label_space, tuple(manifest.classes), folder)
    # Older files of torch are no zip archives, and cannot be mapped; train.py never wrote one.
    if path.suffix != ".ckpt" or not is_zipfile(path):
        return None
    content = read_checkpoint(path, f"model.weights={path}", in_file=True)  # only the names of classes are read
    facts = content.get("hyper_parameters") if isinstance(content, Mapping) else None
    if not isinstance(facts, Mapping) or facts.keys() != {"label_space", "classes"}:
        return None
    name, classes = facts["label_space"], facts["classes"]
    if not isinstance(classes, list | tuple) or not all(isinstance(each, str) for each in (name, *classes)):
        return None
    run = RunFolder(path.parent.parent)
    return Origin(name, tuple(classes), run if is_run(run.path) else None)


def as_trained(settings: RunSettings, predicted: LabelSpace) -> tuple[RunSettings, str]:
    """Settings with the normalisation that weights of this project were trained with, where none was typed, and a note.

    Raises RequestError where `predicted`, the label space that was typed, has their classes in another order.
    """
    model = settings.model
    key, file = ("weights", model.weights) if model.onnx is None else ("onnx", model.onnx)
    origin = origin_of(Path(file).expanduser())
    if origin is None:
        return settings, ""
    places = {name: place for place, name in enumerate(predicted.classes)}
    moved = [name for place, name in enumerate(origin.classes) if places.get(name, place) != place]
    if moved:
        raise RequestError(
            f"model.{key}={file} was trained on {origin.label_space} ({', '.join(origin.classes)}), in which {shortened(moved)} "
            f"have other places than in model.label_space={model.label_space}. Name the classes in the order of the training."
        )
    renamed = [f"{a} is read as {b}" for a, b in zip(origin.classes, predicted.classes, strict=False) if a != b]
    note = f"these weights were trained on {origin.label_space}: {shortened(renamed)}" if renamed else ""
    if origin.folder is not None and model.onnx is None:
        before = stored_settings(origin.folder).model
        if before.mean and before.std:
            settings = normalised(settings, before.mean, before.std)
    return settings, note
