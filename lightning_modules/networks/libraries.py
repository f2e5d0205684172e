"""Networks of timm and of segmentation_models_pytorch (smp), by the names that they have there.

Both packages are optional. They are imported only where one of their networks is built, and always build it with fresh weights,
so that nothing is downloaded here: for weights see `lightning_modules.weights.libraries`.
"""

import contextlib
import difflib
import inspect
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.errors import NetworkError
from lightning_modules.networks.depthwise import with_fast_gradients

MOST_NAMED = 5
# How networks that are built for one size of images are told it, in the order in which they are tried: Swin and vision
# transformers then take other sizes as well.
FOR_SIZE: Sequence[dict[str, bool]] = ({"strict_img_size": False}, {"dynamic_img_size": True}, {})
# Raised by both packages, and by torch, for names, arguments and sizes that do not fit together.
UNFIT = (ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)  # fmt: skip


class TimmClassifier(nn.Module):
    """A classifier of timm, in ``model``: images (B, 3, H, W) to logits (B, num_classes).

    `name` is as timm lists it, with or without the tag of its weights, such as ``convnext_tiny.fb_in1k``. A rate that is None is
    the architecture's own. Raises NetworkError for what timm lacks, and for sizes (height, width) that the architecture does not take.
    """

    def __init__(
        self,
        num_classes: int,
        name: str,
        image_size: Sequence[int],
        eval_size: Sequence[int] | None = None,
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
    ) -> None:
        super().__init__()
        timm = library("timm")
        self.timm_name, self.encoder_name = name, None
        self.config = timm_config(name, "model.name", name)
        rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        make = partial(timm.create_model, name, num_classes=num_classes, **rates)
        self.model: nn.Module
        self.make, self.model = _made(make, self.config, image_size, f"model.name={name}")
        with_fast_gradients(self.model)
        for key, size in (("image_size", image_size), ("eval_size", eval_size or image_size)):
            _try(self, f"model.name={name} takes no images of data.{key}=[{size[0]},{size[1]}]", size, self.config)

    @property
    def part(self) -> nn.Module:
        """What published weights are for."""
        return self.model

    @property
    def normalisation(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of the channels, 0–1, that timm gives for the weights of this name."""
        return self.config.mean, self.config.std

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return cast(Tensor, self.model(images))

    def load_pretrained(self, file: Path, custom: bool) -> None:
        """Load a file of timm's own weights as timm does, the head fresh; `custom` where the architecture reads it itself."""
        source: Any = self.make(pretrained=True, pretrained_cfg_overlay={"file": str(file), "custom_load": custom})
        if source.num_classes == self.config.num_classes:
            source.reset_classifier(source.num_classes)
        self.model.load_state_dict(source.state_dict())


class SMPSegmenter(nn.Module):
    """A segmentation model of smp, in ``model``: images (B, 3, H, W) to logits (B, num_classes, H, W), for any H and W.

    `arch` and `encoder` are named as in smp, encoders of timm with ``tu-`` before their name; `options` are further arguments of the
    architecture; `drop_path_rate` is as of `TimmClassifier`, for encoders that have it. Images are padded with zeros at the right and the bottom to multiples of the encoder's stride, and the logits
    cropped: TensorFlow's padding (``tf_``) moves features of other sizes by up to that stride, unlike those of a training on multiples. Raises NetworkError for what smp lacks or cannot combine.
    """

    def __init__(
        self,
        num_classes: int,
        arch: str,
        encoder: str,
        image_size: Sequence[int],
        drop_path_rate: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        smp = library("segmentation_models_pytorch")
        known = smp.MODEL_ARCHITECTURES_MAPPING
        if arch.lower() not in known:
            raise NetworkError(_unknown("model.arch", arch, "smp", [each.__name__ for each in known.values()]))
        self.encoder_name, self.timm_name = encoder, encoder.removeprefix("tu-") if encoder.startswith("tu-") else None
        self.config = None if self.timm_name is None else timm_config(self.timm_name, "model.encoder", encoder)
        if self.timm_name is None and encoder not in smp.encoders.get_encoder_names():
            having = [*smp.encoders.get_encoder_names(), *(f"tu-{each}" for each in library("timm").list_models())]
            raise NetworkError(_unknown("model.encoder", encoder, "smp", having))
        _check_options(known[arch.lower()], options)
        if drop_path_rate is not None and self.timm_name is not None:
            options["drop_path_rate"] = drop_path_rate
        make = partial(smp.create_model, arch, encoder, encoder_weights=None, classes=num_classes, **options)
        called = f"model.arch={arch} with model.encoder={encoder}"
        self.make, self.model = _made(make, self.config, image_size, called)
        if drop_path_rate is not None:
            _set_drop_path(self.part, drop_path_rate, encoder)
        with_fast_gradients(self.model)
        self.stride = self.model.encoder.output_stride
        size = f"data.image_size=[{image_size[0]},{image_size[1]}]"
        _try(self, f"{called} takes no images of {size}", image_size, self.config)

    @property
    def part(self) -> nn.Module:
        """What published weights are for."""
        return cast(nn.Module, self.model.encoder)

    @property
    def normalisation(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """Mean and standard deviation of the channels, 0–1, of an encoder of timm; smp keeps those of its own beside their weights."""
        return None if self.config is None else (self.config.mean, self.config.std)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits at the size of the images."""
        height, width = images.shape[-2:]
        try:
            logits = self.model(functional.pad(images, (0, -width % self.stride, 0, -height % self.stride)))
        except AssertionError as error:  # of an encoder of timm
            raise NetworkError(
                f"model.encoder={self.encoder_name} takes no images of {height}×{width} pixels: {error} "
                "Type evaluation.window=[height,width], the data.image_size of its training."
            ) from None
        return cast(Tensor, logits)[..., :height, :width]

    def load_pretrained(self, file: Path, custom: bool) -> None:
        """Load a file of timm's own weights into the encoder as timm does; `custom` where the architecture reads it itself."""
        overlay = {"file": str(file), "custom_load": custom}
        source: Any = self.make(encoder_weights=True, pretrained_cfg_overlay=overlay)
        self.part.load_state_dict(source.encoder.state_dict())


def library(name: str) -> Any:
    """Import timm or smp. Raises NetworkError with the line to type where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        model = "timm" if name == "timm" else "smp"
        raise NetworkError(
            f"model={model} needs the package {name.replace('_', '-')} ({error}). Type: pip install timm segmentation-models-pytorch, "
            "or with further packages: pip install .[models]"
        ) from None


def timm_config(name: str, key: str, typed: str) -> Any:
    """Timm's configuration of a name's weights. Raises NetworkError, with similar names, for an architecture or a tag that timm lacks.

    An address or a path, as timm itself would take in the place of a name, is no name.
    """
    timm = library("timm")
    architecture, _, tag = name.partition(".")
    prefix = typed.removesuffix(name)
    if architecture not in timm.list_models():
        raise NetworkError(_unknown(key, typed, "timm", [f"{prefix}{each}" for each in timm.list_models()]))
    tagged = timm.models.get_arch_pretrained_cfgs(architecture)
    if tag and name not in tagged:
        raise NetworkError(_unknown(key, typed, "timm", [f"{prefix}{each}" for each in tagged]))
    return timm.get_pretrained_cfg(name)


def _unknown(key: str, name: str, where: str, having: Collection[str]) -> str:
    lower = {each.lower(): each for each in having}
    close = [lower[each] for each in difflib.get_close_matches(name.lower(), lower, MOST_NAMED, 0.5)]
    near = (
        [*close, *(each for each in having if each not in close)][:MOST_NAMED]
        if len(having) > 2 * MOST_NAMED
        else having
    )
    return f"{key}={name}: {where} has no such name. It has {len(having)}, such as {', '.join(near)}."


def _check_options(make: type[nn.Module], options: Collection[str]) -> None:
    """Raise NetworkError for an argument that an architecture of smp lacks, or that is decided elsewhere."""
    elsewhere = ("encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params", "kwargs")
    known = [name for name in inspect.signature(make).parameters if name not in elsewhere]
    if unknown := next((name for name in options if name not in known), None):
        raise NetworkError(
            f"model.network.{unknown}: {make.__name__} has no such setting. Those it has: {', '.join(known)}."
        )


def _set_drop_path(encoder: nn.Module, rate: float, name: str) -> None:
    """Set the largest rate of stochastic depth, and the others in proportion: smp's own encoders take no argument for it.

    Raises NetworkError for an encoder without it.
    """
    layers: list[Any] = [each for each in encoder.modules() if type(each).__name__ == "DropPath"]
    largest = max((layer.drop_prob or 0.0 for layer in layers), default=0.0)
    if largest == 0 and rate != 0:
        raise NetworkError(
            f"model.network.drop_path_rate={rate}: model.encoder={name} has no stochastic depth. Leave it out."
        )
    for layer in layers:
        layer.drop_prob = layer.drop_prob and layer.drop_prob * rate / largest


def _made(make: partial[nn.Module], config: Any, size: Sequence[int], called: str) -> tuple[partial[nn.Module], Any]:
    """What builds a network for images of a size, and the network. Raises NetworkError."""
    sized = [{"img_size": tuple(size), **each} for each in FOR_SIZE] if config and config.fixed_input_size else []
    with _refused(f"{called} cannot be built", config):
        for options in sized:
            with contextlib.suppress(TypeError):  # it has no such argument
                return (found := partial(make, **options)), found()
        return make, make()
    raise AssertionError


def _try(network: nn.Module, what: str, size: Sequence[int], config: Any) -> None:
    """Raise NetworkError for images of a size that a network does not take: each architecture has rules of its own."""
    network.eval()
    with _refused(what, config), torch.no_grad():
        network(torch.zeros(1, 3, *size))
    network.train()


@contextlib.contextmanager
def _refused(what: str, config: Any) -> Iterator[None]:
    """Raise NetworkError for what does not fit together; with the size of images that timm's weights were made for."""
    try:
        yield
    except NetworkError:
        raise
    except UNFIT as error:
        size = (
            ""
            if config is None
            else f" Its own size of images is data.image_size=[{config.input_size[1]},{config.input_size[2]}]."
        )
        reason = " ".join(str(error).split()).rstrip(".")
        raise NetworkError(f"{what}: {reason}.{size}") from None
