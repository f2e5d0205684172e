"""`model`, `lightning_module`, `loss`, `optimizer`, `scheduler`, `aug` and `callbacks`: what learns, and how."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from settings.base import Group, Legal, NameOrCSV, Number, PathText, Share, Target, Text, Whole, absolute, as_typed
from settings.mixing import MixingKeys

LIBRARIES = "lightning_modules.networks.libraries."  # where networks of timm and smp are built
LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")  # weights that come as a package
PUBLISHED = ("auto", "none", "imagenet", "coco_voc", *LITE)  # values of model.weights that are no path
# The losses that `loss.name` selects, also without their file in conf/loss, as in runs from before that group.
LOSSES = {
    "cross_entropy": "lightning_modules.losses.CrossEntropy",
    "dice_cross_entropy": "lightning_modules.hard_losses.DiceCrossEntropy",
    "ohem": "lightning_modules.hard_losses.OnlineHardExampleMining",
    "focal": "lightning_modules.hard_losses.Focal",
    "lovasz": "lightning_modules.hard_losses.LovaszSoftmax",
}
# Where two of them were; a run that names them there still opens.
_FORMER = ("lightning_modules.losses.DiceCrossEntropy", "lightning_modules.losses.OnlineHardExampleMining")

_Fraction = Annotated[Number, Field(ge=0, le=1)]
Channels = Annotated[
    list[_Fraction],
    Field(min_length=3, max_length=3),
    Legal("a list of three numbers from 0 to 1, for red, green and blue"),
]


class ModelSettings(Group):
    """`model`: the network, its task and its first weights."""

    name: Text = Field(description="the model's name, part of the run folder's name")
    task: Literal["classification", "segmentation"] = Field(description="classification or segmentation")
    arch: Text | None = Field(None, description="smp: the architecture, such as Unet or FPN")
    encoder: Text | None = Field(None, description="smp: its encoder, such as resnet34; one of timm: tu- and its name")
    weights: Annotated[
        str,
        Field(min_length=1),
        AfterValidator(lambda value: value if value in PUBLISHED else absolute(value)),
        Legal("auto, none, imagenet, coco_voc, efficientnet_lite0 or the path of a checkpoint"),
    ] = Field(
        "auto",
        description="auto: ImageNet weights where they can be had; none; imagenet; coco_voc; efficientnet_lite0, 1 or 2 of a package; or a path",
    )
    weights_key: Text | None = Field(
        None, description="which of several state dicts in the checkpoint, such as ema; null: the one that fits"
    )
    partial: bool = Field(False, description="load weights of which only a part fits the network")
    freeze_epochs: Whole = Field(0, description="epochs at the start in which the pretrained part is not trained")
    onnx: PathText | None = Field(None, description="evaluate.py: an ONNX file made elsewhere, in place of a network")
    output: Literal["logits", "ids"] = Field("logits", description="what model.onnx predicts: logits or class indices")
    label_space: NameOrCSV | None = Field(None, description="classes of external weights; null: the known ones")
    mean: Channels | None = Field(None, description="mean of the channels, 0–1; null: ImageNet's, or timm's")
    std: Channels | None = Field(None, description="standard deviation of the channels, 0–1; null: likewise")
    network: Target | None = Field(None, description="what builds the network, with its arguments")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.network is None and self.name != "predictions":
            raise ValueError("model.network=null: it needs a _target_, as the options in conf/model have.")
        if self.weights_key is not None and self.weights in PUBLISHED:
            raise ValueError(f"model.weights_key={self.weights_key} needs model.weights=PATH, a checkpoint with it.")
        if self.std is not None and min(self.std) == 0:
            raise ValueError(f"model.std={as_typed(self.std)}: must be above 0.")
        return self


class LightningModuleSettings(Group):
    """`lightning_module`: the LightningModule, which follows from the model's task."""

    target: str = Field(alias="_target_", description="the LightningModule")
    targets: dict[str, str] = Field({}, description="the LightningModule for each task")


class LossSettings(Target):
    """`loss`: the training loss."""

    name: Text = Field("cross_entropy", description="the loss's name; those shipped can be typed without loss=")
    auxiliary: Annotated[Number, Field(ge=0)] = Field(0.4, description="weight of an auxiliary head's loss")
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: by inverse frequency in train")
    label_smoothing: _Fraction = Field(0.0, description="label smoothing, of cross_entropy only")
    dice: Annotated[Number, Field(ge=0)] = Field(1.0, description="dice_cross_entropy: weight of the Dice loss")
    probability: Share = Field(0.7, description="ohem: pixels whose true class has less are hard")
    least: Annotated[Number, Field(gt=0, le=1)] = Field(0.1, description="ohem: the least part of a batch's pixels")
    gamma: Annotated[Number, Field(ge=0)] = Field(2.0, description="focal: the exponent of 1 - p; 0: cross-entropy")
    cross_entropy: Annotated[Number, Field(ge=0)] = Field(
        1.0, description="lovasz: weight of the cross-entropy beside it"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_target(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("_target_") in (None, *LOSSES.values(), *_FORMER):
            name = value.get("name", "cross_entropy")
            if not isinstance(name, str) or name not in LOSSES:
                raise ValueError(
                    f"loss.name={as_typed(name)}: must be one of {', '.join(LOSSES)}; a loss of your own needs loss._target_."
                )
            return {**value, "_target_": LOSSES[name]}
        return value

    @model_validator(mode="after")
    def _check_smoothing(self) -> Self:
        if self.label_smoothing and self.name != "cross_entropy" and self.name in LOSSES:
            raise ValueError(f"loss.label_smoothing={self.label_smoothing}: is for loss=cross_entropy only.")
        return self


class OptimizerSettings(Target):
    """`optimizer`: a class of torch.optim with its arguments."""

    lr: Annotated[Number, Field(gt=0)] = Field(1e-3, description="the learning rate")
    encoder_lr: Annotated[Number, Field(gt=0)] | None = Field(None, description="lr of the pretrained part; null: lr")
    layer_decay: Annotated[Number, Field(gt=0, le=1)] | None = Field(None, description="timm: factor of lr per layer")
    weight_decay: Annotated[Number, Field(ge=0)] = Field(0.0, description="weight decay")
    weight_decay_norms: bool = Field(True, description="false: none on biases and normalisation layers")
    momentum: Annotated[Number, Field(ge=0)] = Field(0.0, description="momentum, of sgd")
    nesterov: bool = Field(False, description="Nesterov's momentum, of sgd")
    fused: bool = Field(False, description="update all weights in one pass")

    @property
    def grouping(self) -> dict[str, bool]:
        """The keys that divide the weights into groups, and whether they do."""
        given = {name: getattr(self, name) is not None for name in ("encoder_lr", "layer_decay")}
        return {**given, "weight_decay_norms": not self.weight_decay_norms}


class SchedulerSettings(Target):
    """`scheduler`: a learning-rate schedule, stepped after each optimiser step."""

    warmup_steps: Whole | None = Field(None, description="steps of a linear warm-up; null: warmup_fraction of them")
    warmup_fraction: _Fraction = Field(0.0, description="the part of the steps with a linear warm-up")
    final_factor: Annotated[Number, Field(ge=0)] = Field(0.0, description="cosine: the last rate, as a factor of lr")
    power: Annotated[Number, Field(ge=0)] = Field(0.9, description="poly: the exponent of (1 - step / steps)")


class AugSettings(MixingKeys):
    """`aug`: the augmentation of training images."""

    model_config = ConfigDict(extra="allow")

    name: Text = Field("none", description="the augmentation's name")
    rotation: Any = Field(30, description="flip_rotate: largest rotation in degrees, 0–180")
    scale_limit: Any = Field([0.0, 0.41], description="road: least and largest growth before the crop, 0: as it is")
    transform: Target | None = Field(None, description="an albumentations pipeline; null: none")

    @model_validator(mode="after")
    def _check_rotation(self) -> Self:
        known = type(self.rotation) in (int, float) and 0 <= self.rotation <= 180
        if self.name == "flip_rotate" and not known:  # an option of one's own may use the key otherwise
            raise ValueError(f"aug.rotation={as_typed(self.rotation)}: must be a number of degrees from 0 to 180.")
        return self
