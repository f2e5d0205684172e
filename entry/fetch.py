"""What a training would download or make outside of its run folder, fetched in advance: compute nodes often have no network."""

from datamodules.synthetic_idd import SyntheticIDDCrops, SyntheticIDDFrames
from entry.builders.modules import build, build_datamodule
from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.request import Request
from lightning_modules.errors import WeightsError
from lightning_modules.weights import load
from lightning_modules.weights.libraries import library_file
from settings.base import Target
from settings.model import LIBRARIES, LITE, ModelSettings


def fetch(request: Request) -> None:
    """Print where a training's first weights and its embedded data are, once they are there. Leaves no run folder.

    Raises WeightsError for weights that cannot be had.
    """
    if request.keys.resume:
        raise RequestError(
            "fetch_only=true with resume=: a run that is resumed needs nothing new. Leave one of them out."
        )
    settings = resolved(request)
    print(f"weights: {_weights(settings.model)}")
    datamodule = build_datamodule(settings)
    if isinstance(datamodule, SyntheticIDDCrops | SyntheticIDDFrames):
        print(f"data: {datamodule.roots[0].absolute()}")


def _weights(model: ModelSettings) -> str:
    kind = "imagenet" if model.weights == "auto" else model.weights
    if kind not in (*load.NAMES, *LITE):
        return f"nothing to download for model.weights={kind}"
    assert model.network is not None, "only masks that are there already have no network"
    if model.network.target.startswith(LIBRARIES) and kind != "coco_voc":
        return _library_weights(model.network, model)
    if kind in LITE:
        raise load.lite_misfit(kind, model)
    found = load.published_weights(model.network.target, kind)
    if found is None and model.weights == "auto":
        return f"nothing to download, {model.name} trains from scratch: there are no {load.NAMES[kind]} weights for it"
    if found is None:
        raise load.none_published(kind, model)
    try:
        return f"{load.fetch(found.url)}"
    except load.NotReachableError as error:
        raise WeightsError(
            f"model.weights={kind}: {error}. Type this where there is a connection, or put the file at {load.cached_path(found.url)}"
        ) from error


def _library_weights(network: Target, model: ModelSettings) -> str:
    """Of timm or smp, or of a package."""
    try:
        return str(library_file(build(network, "model.network", num_classes=2), model, model.weights))
    except load.NotReachableError as error:
        raise WeightsError(f"model.weights={model.weights}: {error}. Type this where there is a connection") from error
    except WeightsError as error:
        if model.weights != "auto":
            raise
        return f"nothing to download, {model.name} trains from scratch: {error}"
