"""The label spaces of a run: of its data, kept in its folder, and of external weights or masks, with the crosswalk between them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from datamodules.errors import DatasetError, shortened
from datamodules.files.masks import ids_found
from datamodules.segmentation import SegmentationDataModule
from entry.errors import RequestError
from label_spaces import crosswalk
from label_spaces.catalogue import base_of, fitting, load
from label_spaces.crosswalk import Crosswalk
from label_spaces.space import LabelSpace, LabelSpaceError
from lightning_modules.weights.load import PREDICTS
from run_files import read_json
from run_folder import RunFolder, write_csv, write_json
from settings.base import OF_DATA, as_typed
from settings.data import DataSettings
from settings.run import RunSettings

SPACE = TypeAdapter(LabelSpace)  # as it comes back from JSON
MOST_NAMED, MOST_IDS = 5, 10  # label spaces and ids that a message lists
# What is named in a message where it differs; the first decides whether a checkpoint still fits.
PARTS = {"classes": "classes", "ids": "ids", "further_ids": "further ids", "void_ids": "ids of no class", "colours": "colours",
         "void_colours": "colours of no class", "labels": "labels", "levels": "levels", "important": "important classes"}  # fmt: skip


def external_space(settings: RunSettings, own: LabelSpace) -> LabelSpace:
    """The classes that the weights predict, or that the masks in `predictions=` have; `own` are those of the data.

    Raises RequestError where the settings name none, and LabelSpaceError where what they name cannot be read.
    """
    model = settings.model
    if settings.predictions is not None:
        key, name = "predictions_label_space", settings.predictions_label_space
        what = f"predictions={settings.predictions}: which classes are the masks of?"
    else:
        key, name = "model.label_space", model.label_space or PREDICTS.get(model.weights)
        typed = f"model.weights={model.weights}" if model.onnx is None else f"model.onnx={model.onnx}"
        what = f"{typed}: which classes does this model predict, and in which order?"
    if name is None:
        ids = ids_found(Path(settings.predictions)) if settings.predictions else set()
        fit = [f"{key}={name}" for name in ([OF_DATA] if {*own.legal_ids()} >= ids else []) + fitting(ids)][:MOST_NAMED]
        found = f" Their ids ({shortened(sorted(ids), MOST_IDS)}) fit {', '.join(fit)}." if fit and ids else ""
        raise RequestError(
            f"{what} Type {key}={OF_DATA} for the classes of data={settings.data.name} ({shortened(own.classes, MOST_NAMED)}), "
            f"{key}=NAME, such as voc21 or cityscapes19, or {key}=FILE.csv.{found}"
        )
    return (own if name == OF_DATA else load(name)).with_void(settings.predictions_void_ids or ())


def crosswalk_of(settings: RunSettings, source: LabelSpace, target: LabelSpace) -> Crosswalk | None:
    """The crosswalk that `crosswalk=` names or that there is; None where both are the same. Raises LabelSpaceError."""
    if settings.crosswalk is not None:
        return crosswalk.read(Path(settings.crosswalk), source, target)
    if (base_of(source.name), source.classes) == (base_of(target.name), target.classes):
        return None
    return crosswalk.find(source, target)


def own_space(folder: RunFolder, data: DataSettings) -> LabelSpace | None:
    """The label space that a run was made with, as its folder keeps it.

    None where the folder has none (a classifier, or a run of an earlier version), or the settings name another one.
    Raises LabelSpaceError where the file is damaged.
    """
    if not folder.label_space.exists():
        return None
    kept = read_json(folder.label_space)
    try:
        space = SPACE.validate_python(kept["label_space"])
        return space if {**kept["data"]} == _named(data) else None
    except (LabelSpaceError, ValidationError, LookupError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = error if first is None else f"not a label space: {first['loc']}: {first['msg']}"
        raise LabelSpaceError(f"{folder.label_space} is damaged: {reason}") from None


def keep_space(folder: RunFolder, datamodule: SegmentationDataModule) -> None:
    """Write the label space of the data into a run's folder, with the keys that named it."""
    used, named = datamodule.label_space, datamodule.named_classes()
    content = {"data": _named(datamodule.settings), "label_space": asdict(used)}
    write_json(folder.label_space, content if named == used else {**content, "named": asdict(named)})


def keep_external(folder: RunFolder, source: LabelSpace, crosswalk_used: Crosswalk | None) -> None:
    """Write the label space of external weights or masks, and the crosswalk from it to the data's, into a run's folder."""
    write_json(folder.predicted_label_space, {"label_space": asdict(source)})
    if crosswalk_used is not None:
        write_csv(folder.crosswalk, crosswalk_used.rows())


def difference(folder: RunFolder, datamodule: SegmentationDataModule) -> tuple[str, bool] | None:
    """How the label space named today differs from a run's own, and whether its classes do; None: not at all."""
    if own_space(folder, datamodule.settings) is None:
        return None
    kept = read_json(folder.label_space)
    before = SPACE.validate_python(kept.get("named", kept["label_space"]))
    key = next((key for key, value in _named(datamodule.settings).items() if value is not None), "label_space")
    name = f"data.{key}={as_typed(getattr(datamodule.settings, key))}"
    used = f"{folder.label_space.name} in the run's folder is used"
    try:
        today = datamodule.named_classes()
    except (DatasetError, LabelSpaceError) as error:
        return f"{name} can no longer be read ({error}); {used}.", False
    parts = [part for part in PARTS if getattr(today, part) != getattr(before, part)]
    if not parts:
        return None
    what = f"its {', '.join(PARTS[part] for part in parts)} differ{_example(before, today)}"
    return f"{name} is not what the run was made with: {what}; {used}.", "classes" in parts


def _example(before: LabelSpace, today: LabelSpace) -> str:
    """The first class whose id or place is another one, in parentheses."""
    old, new = (dict(zip(space.classes, space.id_of_index(), strict=False)) for space in (before, today))
    name = next((name for name in old if old[name] != new.get(name)), None)
    if name is None:
        return ""
    return f" ({name} had the id {old[name]}, now {new.get(name, 'none')})"


def _named(data: DataSettings) -> dict[str, Any]:
    """The keys that name the label space of masks."""
    return data.model_dump(mode="json", include={"label_space", "classes", "void_ids"})
