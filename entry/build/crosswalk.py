"""Which label space a model from elsewhere speaks, and how that is crossed into the data's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entry.errors import RequestError
from label_spaces import crosswalk
from label_spaces.catalogue import load
from label_spaces.crosswalk import Crosswalk
from label_spaces.space import LabelSpace
from lightning_modules.weights.load import PREDICTS


def foreign_space(config: Mapping[str, Any]) -> LabelSpace:
    """The classes that the weights, or the masks in `predictions=`, know. Raises RequestError or LabelSpaceError."""
    if config["predictions"] is not None:
        key, name = "predictions_label_space", config["predictions_label_space"]
        what = f"predictions={config['predictions']}: which classes are the masks of?"
    else:
        weights = config["model"]["weights"]
        key, name = "model.label_space", config["model"].get("label_space") or PREDICTS.get(weights)
        what = f"model.weights={weights}: which classes do these weights say, and in which order?"
    if name is None:
        raise RequestError(f"{what} Type {key}=NAME, such as voc21 or cityscapes19, or {key}=FILE.csv.")
    if not isinstance(name, str):
        raise RequestError(
            f"{key}={name}: must be one name, such as voc21 or cityscapes19, or the path of a .csv file."
        )
    return load(name)


def crosswalk_of(config: Mapping[str, Any], source: LabelSpace, target: LabelSpace) -> Crosswalk | None:
    """The crosswalk that `crosswalk=` names or that there is; None where both are the same. Raises LabelSpaceError."""
    path = config["crosswalk"]
    if path is not None:
        return crosswalk.read(Path(path), source, target)
    if (source.name, source.classes) == (target.name, target.classes):
        return None
    return crosswalk.find(source, target)
