"""The keys of `aug` that mix a training image with another one; of `data` those that repeat images of rare classes."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from settings.base import Group, Legal, Number, Text, as_typed

Alpha = Annotated[Number, Field(gt=0)] | None
Part = Annotated[Number, Field(gt=0, le=1)]
Names = Annotated[list[Text], Field(min_length=1), Legal("a list of names such as [person,rider]")]


class MixingKeys(Group):
    """How a training image is mixed with a partner, another training image."""

    mixup: Alpha = Field(
        None,
        description="mixup of images with classes: alpha of the Beta distribution of lambda, such as 0.2; null: off",
    )
    cutmix: Alpha = Field(
        None, description="CutMix, likewise, such as 1.0; with aug.mixup one of both, equally often; null: off"
    )
    copy_paste: Part | None = Field(
        None,
        description="the part of the frames into which objects of another one are pasted, with their mask; null: off",
    )
    copy_paste_classes: Names | None = Field(
        None, description="their classes, such as [person,rider]; null: half of the other frame's, drawn anew each time"
    )


def mixing_problems(keys: MixingKeys, task: str, model: str) -> Iterator[str]:
    """Yield a sentence for each key that does not fit the task, or another key."""
    for name, alpha in {"mixup": keys.mixup, "cutmix": keys.cutmix}.items():
        if alpha and task == "segmentation":
            yield f"aug.{name}={alpha} is for images with one class each, and model={model} segments. Type aug.copy_paste=0.5, which mixes masks too."
    if keys.copy_paste and task == "classification":
        yield f"aug.copy_paste={keys.copy_paste} pastes objects with their masks, and model={model} classifies. Type aug.cutmix=1.0, which pastes a box."
    if keys.copy_paste_classes and not keys.copy_paste:
        yield f"aug.copy_paste_classes={as_typed(keys.copy_paste_classes)} needs aug.copy_paste=0.5, or another part of the frames."


class SamplingKeys(Group):
    """How often an epoch has each training sample."""

    sampling: Literal["uniform", "balanced"] = Field(
        "uniform", description="balanced: images with rare classes several times an epoch, others not in each one"
    )
    sampling_threshold: Part | None = Field(
        None,
        description="the part of the images below which a class is rare, 1: all classes are; null: 1 / number of classes",
    )
