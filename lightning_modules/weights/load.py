"""The weights that a network starts from: ``model.weights`` = auto | none | imagenet | coco_voc | a file."""

import hashlib
import inspect
import re
import socket
import threading
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn

from lightning_modules.errors import WeightsError
from lightning_modules.weights.safe_load import read_state_dicts
from lightning_modules.weights.state_dict import Heads, choose_state, load_backbone, load_network
from settings.model import LITE, ModelSettings

NAMES = {"imagenet": "ImageNet", "coco_voc": "COCO/VOC"}
PREDICTS = {"coco_voc": "voc21"}  # the label space of published weights that come with heads
# Mean and standard deviation of ImageNet's red, green and blue, in 0–1: those of all but a few models of torchvision.
# Source: torchvision.transforms._presets.ImageClassification.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Where networks of torchvision are built: by torchvision itself, or by our functions of the same names.
TORCHVISION = ("torchvision.models.", "lightning_modules.networks.resnet.", "lightning_modules.networks.deeplabv3.")
HASHED = r"-([0-9a-f]{8,})\."  # in names of files: the start of the SHA-256
CONNECT_SECONDS = 5.0
STALLED_SECONDS = 30.0  # without any data for so long, a download has failed


@dataclass(frozen=True)
class WeightsReport:
    """Where a network's weights come from."""

    requested: str  # model.weights as typed
    used: str  # none, imagenet, coco_voc or the path of the file that was read
    note: str = ""  # one line for the user
    file: str | None = None  # the name of the file that was read
    normalisation: tuple[Sequence[float], Sequence[float]] | None = None  # of images, where it is not ImageNet's


def load_weights(
    network: nn.Module, model: ModelSettings, requested: str, num_classes: int, *, whole: bool = False
) -> WeightsReport:
    """Load the requested weights into a fresh network, in place.

    `requested` is ``auto`` (ImageNet if torchvision has such weights and they can be downloaded, else from scratch),
    ``imagenet`` (of a segmentation model the backbone's), ``coco_voc``, or the path of a checkpoint. With `whole` the heads
    are loaded too, and must fit: the network is evaluated as it is.

    Raises WeightsError, with the network unchanged, if the weights cannot be downloaded or read, or do not fit.
    """
    if requested == "auto" or requested in NAMES:
        return _load_published(network, model, requested, num_classes, whole)
    if requested in LITE:
        raise lite_misfit(requested, model)
    states = read_state_dicts(Path(requested).expanduser())
    place, state = choose_state(states, network, model.weights_key, requested)
    notes = load_network(network, state, Heads(num_classes, required=whole), requested, partial=model.partial)
    others = ", ".join(other for other in states if other != place)
    chosen = f", its {place} (also there: {others})" if len(states) > 1 else ""
    note = "; ".join([f"{model.name} starts from {requested}{chosen}", *notes])
    return WeightsReport(requested, requested, note, Path(requested).name)


def _load_published(
    network: nn.Module, model: ModelSettings, requested: str, num_classes: int, whole: bool
) -> WeightsReport:
    """Download and load published weights; see `load_weights`. With ``auto`` a note takes the place of most errors."""

    def from_scratch(reason: object) -> WeightsReport:
        return WeightsReport(requested, "none", f"{model.name} trains from scratch: {reason}")

    auto = requested == "auto"
    kind = "imagenet" if auto else requested
    assert model.network is not None, "only masks that are there already have no network"
    found = published_weights(model.network.target, kind)
    if found is None:
        if auto:
            return from_scratch(f"there are no {NAMES[kind]} weights for {model.name}")
        raise none_published(kind, model)
    try:
        file = fetch(found.url)
    except NotReachableError as error:
        file = cached_path(found.url)
        if auto:
            return from_scratch(f"no {NAMES[kind]} weights at {file}, and {error}")
        otherwise = "" if whole else ", or use model.weights=none"
        raise WeightsError(
            f"model.weights={kind}: {error}. Download it where there is a connection and put it at {file}{otherwise}"
        ) from error
    try:
        state, backbone = next(iter(read_state_dicts(file).values())), getattr(network, "backbone", None)
        if kind == "imagenet" and isinstance(backbone, nn.Module):
            load_backbone(backbone, state, str(file))
            content = f"a backbone with {NAMES[kind]} weights ({file.name}) and fresh heads"
        else:
            load_network(network, state, Heads(num_classes, None if whole else found.num_classes, whole), str(file))
            content = f"{NAMES[kind]} weights ({file.name}){'' if whole else ' with a fresh head'}"
    except WeightsError as error:  # such as for a network of a width of its own
        if auto:
            return from_scratch(error)
        raise
    if (found.mean, found.std) != (IMAGENET_MEAN, IMAGENET_STD):
        content += f", trained with model.mean={list(found.mean)} and model.std={list(found.std)}"
    return WeightsReport(requested, kind, f"{model.name} starts from {content}", file.name)


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights on torchvision's server, the number of classes of its heads, and the normalisation of its images."""

    url: str
    num_classes: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


def published_weights(target: str, kind: str) -> PublishedWeights | None:
    """Return torchvision's weights for a network, or None where there are none.

    `target` is the dotted name of the function that builds the network, such as ``torchvision.models.resnet34``; `kind` is
    ``imagenet`` (the first version; of a segmentation model those of its backbone) or ``coco_voc``.
    """
    from torchvision import models

    name = target.rpartition(".")[2]
    if not target.startswith(TORCHVISION) or name not in models.list_models():
        return None
    builder = models.get_model_builder(name)
    known = dict(models.get_model_weights(builder).__members__)
    if kind == "coco_voc":
        found = known.get("COCO_WITH_VOC_LABELS_V1")
    elif backbone := inspect.signature(builder).parameters.get("weights_backbone"):
        found = backbone.default
    else:
        found = known.get("IMAGENET1K_V1") or known.get("DEFAULT")
    if found is None or (kind == "imagenet" and not found.name.startswith("IMAGENET1K")):
        return None
    preset = found.transforms()
    return PublishedWeights(found.url, len(found.meta["categories"]), tuple(preset.mean), tuple(preset.std))


def none_published(kind: str, model: ModelSettings) -> WeightsError:
    """The error for weights that nobody publishes."""
    having = "models of torchvision" if kind == "imagenet" else "segmentation models of torchvision"
    reason = f"there are no {NAMES[kind]} weights for {model.name}, only for {having}"
    return WeightsError(f"model.weights={kind}: {reason}; use model.weights=none")


def lite_misfit(lite: str, model: ModelSettings) -> WeightsError:
    """The error for weights that come as a package, and a network that is not theirs."""
    fitting = f"model=timm model.name=tf_{lite}, or model=smp model.encoder=tu-tf_{lite}"
    return WeightsError(f"model.weights={lite} does not fit model={model.name}. Type {fitting}")


class NotReachableError(RuntimeError):
    """A file cannot be downloaded now; the message names it and the reason."""


def cached_path(url: str) -> Path:
    """Return the path of a file in torch.hub's cache, which the environment variable TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def fetch(url: str, timeout: float = CONNECT_SECONDS) -> Path:
    """Return the local file of a URL whose name ends in the start of its SHA-256, downloading it if it is not cached.

    The download shows a progress bar on stderr and gets its final name once its hash is verified. `timeout` is in seconds
    for the server's first answer, including name resolution. Raises NotReachableError if the file is not cached and
    cannot be downloaded, and WeightsError if the cached file does not have the SHA-256 in its name.
    """
    file = cached_path(url)
    named = re.search(HASHED, file.name)
    assert named, f"{file.name} does not end in the start of its SHA-256"
    digest = named[1]
    if file.is_file():
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()[: len(digest)]
        if found != digest:
            raise WeightsError(
                f"{file} is damaged: its SHA-256 starts with {found}, not {digest}; delete it and start again"
            )
        return file
    reason = why_unreachable(url, timeout)
    if reason:
        raise NotReachableError(f"{url} cannot be reached ({reason})")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED_SECONDS)  # torch.hub has no parameter for it
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=digest, progress=True)
    # torch.hub raises RuntimeError for a wrong hash; connections fail with an OSError.
    except (OSError, RuntimeError) as error:
        raise NotReachableError(f"{url} could not be downloaded ({error})") from error
    finally:
        socket.setdefaulttimeout(before)
    return file


def why_unreachable(url: str, timeout: float = CONNECT_SECONDS) -> str:
    """Request the first byte of a file. Returns why there was no answer in time, or an empty text."""
    answer: list[str] = []

    def request() -> None:
        opener = urllib.request.build_opener()  # uses the environment's proxies, as the download does
        opener.addheaders = [("User-Agent", "torch.hub"), ("Range", "bytes=0-0")]
        try:
            opener.open(url, timeout=timeout).close()
            answer.append("")
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", None) or error))

    # In a thread, because name resolution has no timeout.
    thread = threading.Thread(target=request, daemon=True, name="weights-connection-check")
    thread.start()
    thread.join(timeout)
    return answer[0] if answer else f"no answer within {timeout:g} s"
