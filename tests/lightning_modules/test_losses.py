import pytest
import torch
from torch.nn import functional

from lightning_modules.hard_losses import DiceCrossEntropy, Focal, LovaszSoftmax, OnlineHardExampleMining
from lightning_modules.losses import CrossEntropy, TrainingLoss


def pixels(seed=0, classes=3):
    draws = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, classes, 6, 7, generator=draws)
    return logits, torch.randint(0, classes + 1, (2, 6, 7), generator=draws, dtype=torch.uint8)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.2, 1.0, 3.0])])
@pytest.mark.parametrize("shape", [(), (4, 5)])
def test_sum_over_weight_is_torchs_mean(smoothing, weights, shape):
    logits, target = torch.randn(6, 3, *shape), torch.randint(0, 4, (6, *shape))  # 3 is void
    total, weight = CrossEntropy(3, weights, smoothing)(logits, target)
    mean = functional.cross_entropy(logits, target, weights, ignore_index=3, label_smoothing=smoothing)
    torch.testing.assert_close(total / weight, mean)


@pytest.mark.parametrize("make", [CrossEntropy, OnlineHardExampleMining, DiceCrossEntropy, Focal, LovaszSoftmax])
@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_a_network_of_another_precision_changes_nothing(make, precision):
    """Such a network's module is converted as a whole, its loss too; the logits are float32 all the same."""
    logits, target = pixels()
    weights = torch.tensor([0.25, 1.0, 3.0])  # bfloat16 holds them
    found = make(3, weights).to(precision)(logits, target)
    for value, expected in zip(found, make(3, weights)(logits, target), strict=True):
        assert value.dtype == torch.float32
        assert torch.equal(value, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(3),
        CrossEntropy(3, torch.tensor([0.5, 1.0, 2.0]), 0.2),
        OnlineHardExampleMining(3),
        DiceCrossEntropy(3),
        Focal(3, torch.tensor([0.5, 1.0, 2.0])),
        LovaszSoftmax(3),
    ],
)
def test_a_gpu_is_deterministic_and_not_waited_for(loss):
    logits, target = pixels()
    expected, (logits, target), loss = loss(logits, target), (logits.cuda(), target.cuda()), loss.cuda()
    torch.use_deterministic_algorithms(True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = loss(logits.requires_grad_(), target)
        found[0].backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close([value.cpu() for value in found], list(expected))


def test_all_void_weighs_nothing():
    total, weight = CrossEntropy(3)(torch.randn(2, 3), torch.tensor([3, 3]))
    assert (total.item(), weight.item()) == (0.0, 0.0)


def test_auxiliary_heads_add_their_part():
    logits, target = pixels(2)
    other = logits.flip(0)
    both, weight = TrainingLoss(CrossEntropy(3), 3, 0.4)((logits, other), target)
    one = functional.cross_entropy(logits, target.long(), ignore_index=3)
    two = functional.cross_entropy(other, target.long(), ignore_index=3)
    torch.testing.assert_close(both / weight, one + 0.4 * two)
    three, weight = TrainingLoss(CrossEntropy(3), 3, 0.4)((logits, other, other), target)
    torch.testing.assert_close(three / weight, one + 0.8 * two)
    alone, weight = TrainingLoss(CrossEntropy(3), 3, 0.4)(logits, target)
    torch.testing.assert_close(alone / weight, one)


@pytest.mark.parametrize("reference", [torch.nn.CrossEntropyLoss(ignore_index=3), torch.nn.CrossEntropyLoss(torch.tensor([0.2, 1, 3]), ignore_index=3)])  # fmt: skip
def test_a_loss_that_returns_a_mean_is_weighted_by_the_pixels_with_truth(reference):
    logits, target = pixels(3)
    total, weight = TrainingLoss(reference, 3)(logits, target)
    assert weight.item() == int((target != 3).sum())
    torch.testing.assert_close(total / weight, reference(logits, target.long()))


def test_a_mean_over_nothing_but_void_has_no_gradient():
    logits = torch.randn(2, 3, requires_grad=True)
    total, weight = TrainingLoss(torch.nn.CrossEntropyLoss(ignore_index=3), 3)(logits, torch.tensor([3, 3]))
    total.backward()
    assert (total.item(), weight.item(), logits.grad.abs().sum().item()) == (0.0, 0.0, 0.0)
