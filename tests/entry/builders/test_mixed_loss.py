"""The loss of mixed images, and requests that make no sense."""

import pytest
import torch
from torch import nn

from entry.builders.mixed_loss import mixed_loss
from entry.errors import RequestError
from label_spaces.space import LabelSpace
from lightning_modules.hard_losses import DiceCrossEntropy
from lightning_modules.losses import CrossEntropy, TrainingLoss
from lightning_modules.mixed_loss import MixedLoss
from settings.mixing import MixingKeys
from settings.model import LossSettings

SPACE = LabelSpace("tiny", ("road", "rider", "person"))
SETTINGS = LossSettings(name="cross_entropy")


class OfBatch(nn.Module):
    """A loss that looks at what it is given."""

    def forward(self, logits, target):
        return logits.sum() if target.sum() > 0 else logits.mean()


@pytest.mark.parametrize("loss", [CrossEntropy(3), DiceCrossEntropy(3), nn.CrossEntropyLoss(ignore_index=3)])
@pytest.mark.parametrize("keys", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_images_with_two_classes_have_a_mixed_loss(loss, keys):
    made = mixed_loss(MixingKeys(**keys), SPACE, SETTINGS, TrainingLoss(loss, 3, 0.25))
    assert isinstance(made, MixedLoss)
    assert (made.loss, made.auxiliary) == (loss, 0.25)
    assert torch.isfinite(made(torch.randn(2, 3), *torch.zeros(2, 2, dtype=torch.int64), torch.ones(2))[0])


def test_pasted_masks_have_their_own_loss():
    plain = TrainingLoss(CrossEntropy(3), 3)
    assert mixed_loss(MixingKeys(copy_paste=0.5, copy_paste_classes=["rider"]), SPACE, SETTINGS, plain) is plain


def test_a_loss_that_is_not_of_single_images_is_refused():
    with pytest.raises(RequestError, match=r"aug\.cutmix: CrossEntropy is not a loss of each image alone"):
        mixed_loss(MixingKeys(cutmix=1.0), SPACE, SETTINGS, TrainingLoss(OfBatch(), 3))


def test_a_name_that_is_no_class_is_refused_with_the_closest():
    keys = MixingKeys(copy_paste=0.5, copy_paste_classes=["person", "ridr"])
    with pytest.raises(
        RequestError, match=r"ridr is no class of tiny; rider is the closest\. Its classes: road, rider"
    ):
        mixed_loss(keys, SPACE, SETTINGS, TrainingLoss(CrossEntropy(3), 3))
