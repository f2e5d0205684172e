"""The label space of external weights or masks, and the crosswalk from it to the data's."""

from pathlib import Path

from entry.errors import RequestError
from label_spaces import crosswalk
from label_spaces.catalogue import base_of, load
from label_spaces.crosswalk import Crosswalk
from label_spaces.space import LabelSpace
from lightning_modules.weights.load import PREDICTS
from settings.run import RunSettings


def external_space(settings: RunSettings) -> LabelSpace:
    """The classes that the weights, or the masks in `predictions=`, know. Raises RequestError or LabelSpaceError."""
    model = settings.model
    if settings.predictions is not None:
        key, name = "predictions_label_space", settings.predictions_label_space
        what = f"predictions={settings.predictions}: which classes are the masks of?"
    else:
        key, name = "model.label_space", model.label_space or PREDICTS.get(model.weights)
        what = f"model.weights={model.weights}: which classes do these weights predict, and in which order?"
    if name is None:
        raise RequestError(f"{what} Type {key}=NAME, such as voc21 or cityscapes19, or {key}=FILE.csv.")
    return load(name).with_void(settings.predictions_void_ids or ())


def crosswalk_of(settings: RunSettings, source: LabelSpace, target: LabelSpace) -> Crosswalk | None:
    """The crosswalk that `crosswalk=` names or that there is; None where both are the same. Raises LabelSpaceError."""
    if settings.crosswalk is not None:
        return crosswalk.read(Path(settings.crosswalk), source, target)
    if (base_of(source.name), source.classes) == (base_of(target.name), target.classes):
        return None
    return crosswalk.find(source, target)
