"""The weights that a network starts from: ``model.weights`` = auto | none | imagenet | coco_voc | a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lightning_modules.errors import WeightsError
from lightning_modules.weights.download import NotReachableError, cached_path, fetch
from lightning_modules.weights.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    TORCHVISION,
    published_weights,
)
from lightning_modules.weights.safe_load import read_state_dict
from lightning_modules.weights.state_dict import Heads, load_backbone, load_network

NAMES = {"imagenet": "ImageNet", "coco_voc": "COCO/VOC"}
PREDICTS = {"coco_voc": "voc21"}  # the label space of published weights that come with heads


@dataclass(frozen=True)
class WeightsReport:
    """Where a network's weights come from.

    Args:
        requested: ``model.weights`` as typed.
        used: ``none``, ``imagenet``, ``coco_voc`` or the path of the file that was read.
        note: one line for the user; may be empty.
        file: the name of the file that was read, if any.
    """

    requested: str
    used: str
    note: str = ""
    file: str | None = None


def load_weights(
    network: nn.Module,
    model: str,
    requested: str,
    *,
    target: str,
    num_classes: int,
    whole: bool = False,
    partial: bool = False,
) -> WeightsReport:
    """Load the requested weights into a fresh network.

    Args:
        network: changed in place, or left exactly as it was where an error is raised.
        model: the network's name, for messages.
        requested: ``auto`` (ImageNet if torchvision has such weights and they can be downloaded, else from scratch),
            ``none``, ``imagenet`` (of a segmentation model the backbone's), ``coco_voc``, or the path of a checkpoint.
        target: the dotted name of the function that built the network, such as ``torchvision.models.resnet34``.
        num_classes: of the network.
        whole: load the heads too, which must fit: the network is evaluated as it is.
        partial: load all of a file that fits, and note what does not.

    Raises:
        WeightsError: the weights cannot be downloaded or read, or do not fit.
    """
    if requested == "none" or (requested == "auto" and not target.startswith(TORCHVISION)):
        return WeightsReport(requested, "none")
    if requested == "auto" or requested in NAMES:
        return _load_published(network, model, requested, target, num_classes, whole=whole)
    state = read_state_dict(Path(requested).expanduser())
    notes = load_network(network, state, Heads(num_classes, required=whole), requested, partial=partial)
    note = "; ".join([f"{model} starts from {requested}", *notes])
    return WeightsReport(requested, requested, note, Path(requested).name)


def _load_published(
    network: nn.Module, model: str, requested: str, target: str, num_classes: int, *, whole: bool
) -> WeightsReport:
    """Download and load published weights; see `load_weights`. With ``auto`` a note takes the place of most errors."""
    kind, auto = ("imagenet", True) if requested == "auto" else (requested, False)
    found = published_weights(target, kind)
    if found is None:
        reason = f"there are no {NAMES[kind]} weights for {model}"
        if auto:
            return _from_scratch(model, reason)
        having = "models of torchvision" if kind == "imagenet" else "segmentation models of torchvision"
        raise WeightsError(f"model.weights={kind}: {reason}, only for {having}; use model.weights=none")
    try:
        file = fetch(found.url)
    except NotReachableError as error:
        file = cached_path(found.url)
        if auto:
            return _from_scratch(model, f"no {NAMES[kind]} weights at {file}, and {error}")
        otherwise = "" if whole else ", or use model.weights=none"
        raise WeightsError(
            f"model.weights={kind}: {error}. Download it where there is a connection and put it at {file}{otherwise}"
        ) from error
    heads = Heads(num_classes, None if whole else found.num_classes, required=whole)
    try:
        content = _load_file(network, file, kind, heads)
    except WeightsError as error:  # such as for a network of a width of its own
        if auto:
            return _from_scratch(model, str(error))
        raise
    if (found.mean, found.std) != (IMAGENET_MEAN, IMAGENET_STD):
        content += f", trained with model.mean={list(found.mean)} and model.std={list(found.std)}"
    return WeightsReport(requested, kind, f"{model} starts from {content}", file.name)


def _from_scratch(model: str, reason: str) -> WeightsReport:
    return WeightsReport("auto", "none", f"{model} trains from scratch: {reason}")


def _load_file(network: nn.Module, file: Path, kind: str, heads: Heads) -> str:
    """Load a file of published weights. Returns its description. Raises WeightsError if it does not fit."""
    state, backbone = read_state_dict(file), getattr(network, "backbone", None)
    if kind == "imagenet" and isinstance(backbone, nn.Module):
        load_backbone(backbone, state, str(file))
        return f"a backbone with {NAMES[kind]} weights ({file.name}) and fresh heads"
    load_network(network, state, heads, str(file))
    return f"{NAMES[kind]} weights ({file.name}){'' if heads.required else ' with a fresh head'}"


def normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of red, green and blue, in 0–1; for None those of ImageNet.

    Raises:
        WeightsError: they are not three numbers each, or a deviation is not above 0.
    """
    found = []
    for key, given, usual in (("mean", mean, IMAGENET_MEAN), ("std", std, IMAGENET_STD)):
        values = usual if given is None else given if isinstance(given, list | tuple) else ()
        if len(values) != 3 or not all(isinstance(value, int | float) and 0 <= value <= 1 for value in values):
            raise WeightsError(f"model.{key}={given}: must be three numbers in 0–1, for red, green and blue")
        found.append(tuple(float(value) for value in values))
    if min(found[1]) == 0:
        raise WeightsError(f"model.std={std}: must be above 0")
    return found[0], found[1]
