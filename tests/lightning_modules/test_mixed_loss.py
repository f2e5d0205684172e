"""The loss of mixed images, against torch's cross-entropy of class probabilities."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from lightning_modules.hard_losses import OnlineHardExampleMining
from lightning_modules.losses import CrossEntropy, TrainingLoss
from lightning_modules.mixed_loss import MixedLoss

WEIGHTS = torch.tensor([0.5, 1.0, 4.0])
TARGET, PARTNER = torch.tensor([0, 1, 2, 2, 1]), torch.tensor([1, 1, 0, 2, 0])
OWN = torch.tensor([0.0, 0.3, 0.5, 0.9, 1.0])


def logits(heads=1):
    noise = torch.Generator().manual_seed(0)
    return tuple(torch.randn(5, 3, generator=noise, requires_grad=True) for _ in range(heads))


def soft():
    """(B, C) the probabilities of the two classes of each image."""
    own, other = (functional.one_hot(each, 3).float() for each in (TARGET, PARTNER))
    return OWN[:, None] * own + (1 - OWN[:, None]) * other


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_torchs_loss_of_class_probabilities_over_the_mixed_weights(weights, smoothing):
    (found,), (expected,) = logits(), logits()
    total, weight = MixedLoss(CrossEntropy(3, weights, smoothing), 3)(found, TARGET, PARTNER, OWN)
    reference = functional.cross_entropy(expected, soft(), weights, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(total, reference)
    torch.testing.assert_close(weight, (soft() @ (torch.ones(3) if weights is None else weights)).sum())
    (total / weight).backward()
    (reference / weight).backward()
    torch.testing.assert_close(found.grad, expected.grad)


def test_unmixed_images_have_the_loss_that_they_have_alone():
    (output,) = logits()
    plain = TrainingLoss(CrossEntropy(3, WEIGHTS, 0.1), 3)(output, TARGET)
    mixed = MixedLoss(CrossEntropy(3, WEIGHTS, 0.1), 3)(output, TARGET, PARTNER, torch.ones(5))
    torch.testing.assert_close(mixed, plain)


def test_a_loss_of_torch_and_auxiliary_heads():
    heads = logits(2)
    total, weight = MixedLoss(nn.CrossEntropyLoss(ignore_index=3), 3, 0.4)(heads, TARGET, PARTNER, OWN)
    parts = [functional.cross_entropy(head, soft(), reduction="sum") for head in heads]
    torch.testing.assert_close(total, parts[0] + 0.4 * parts[1])
    assert weight == 5


def test_a_loss_of_hard_examples_is_that_of_each_image():
    (output,) = logits()
    loss = OnlineHardExampleMining(3, WEIGHTS, probability=0.4)
    total, weight = MixedLoss(loss, 3)(output, TARGET, PARTNER, OWN)
    expected = torch.zeros(2)
    for image in range(5):
        for classes, part in ((TARGET, OWN[image]), (PARTNER, 1 - OWN[image])):
            expected += part * torch.stack(loss(output[image : image + 1], classes[image : image + 1]))
    torch.testing.assert_close(torch.stack([total, weight]), expected)
