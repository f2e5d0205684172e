"""The loss of a training whose images are mixed."""

import difflib

import torch

from entry.errors import RequestError
from label_spaces.space import LabelSpace
from lightning_modules.losses import TrainingLoss
from lightning_modules.mixed_loss import MixedLoss
from settings.mixing import MixingKeys
from settings.model import LossSettings


def mixed_loss(aug: MixingKeys, space: LabelSpace, settings: LossSettings, loss: TrainingLoss) -> TrainingLoss:
    """The loss of the mixed images: another one where these have two classes each.

    Raises RequestError for a loss that cannot be computed of each image alone, and for names that are no classes.
    """
    for name in aug.copy_paste_classes or ():
        if name not in space.classes:
            near = difflib.get_close_matches(name, space.classes, 1, 0.0)
            raise RequestError(
                f"aug.copy_paste_classes: {name} is no class of {space.name}; {near[0]} is the closest. Its classes: "
                f"{', '.join(space.classes)}."
            )
    if aug.copy_paste is not None:
        return loss
    mixed = MixedLoss(loss.loss, loss.void, loss.auxiliary)
    try:
        mixed(torch.zeros(2, space.num_classes), *torch.zeros(2, 2, dtype=torch.int64), torch.ones(2))
    except RuntimeError:
        raise RequestError(
            f"aug.{'mixup' if aug.mixup else 'cutmix'}: {settings.target.rpartition('.')[2]} is not a loss of each image alone, "
            "by which mixed images are trained. Type loss=cross_entropy."
        ) from None
    return mixed
