import math

import pytest
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from lightning_modules.hard_losses import DiceCrossEntropy, Focal, LovaszSoftmax, OnlineHardExampleMining
from lightning_modules.losses import TrainingLoss
from tests.lightning_modules.test_losses import pixels


@pytest.mark.parametrize(("probability", "least"), [(0.7, 0.1), (0.05, 0.5), (0.999, 0.01)])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_the_hardest_pixels_are_those_of_a_plain_loop(probability, least, weights):
    logits, target = pixels()
    total, weight = OnlineHardExampleMining(3, weights, probability, least)(logits, target)
    rows = [(functional.cross_entropy(l, t).item(), t.item()) for l, t in zip(logits.movedim(1, -1).reshape(-1, 3), target.flatten().long(), strict=True) if t < 3]  # fmt: skip
    rows.sort(reverse=True)
    wanted = max(1, int(len(rows) * least))
    hard = [row for place, row in enumerate(rows) if place < wanted or row[0] >= -math.log(probability)]
    of = [1.0] * 3 if weights is None else weights.tolist()
    assert weight.item() == pytest.approx(sum(of[t] for _, t in hard))
    assert total.item() == pytest.approx(sum(loss * of[t] for loss, t in hard), rel=1e-5)


def test_hardest_pixels_of_nothing_but_void_weigh_nothing():
    total, weight = OnlineHardExampleMining(3)(torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), 3))
    assert (total.item(), weight.item()) == (0.0, 0.0)


def test_dice_is_that_of_a_plain_loop():
    logits, target = pixels(1)
    total, weight = DiceCrossEntropy(3, dice=0.5)(logits, target)
    known, guess = target != 3, logits.softmax(1)
    scores = []
    for c in range(3):
        true = (target == c).float()
        if true.sum():
            both = (guess[:, c] * true)[known].sum()
            scores.append(2 * both / (guess[:, c][known].sum() + true.sum()))
    expected = functional.cross_entropy(logits, target.long(), ignore_index=3) + 0.5 * (1 - sum(scores) / len(scores))
    torch.testing.assert_close(total / weight, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_two_classes_is_torchvisions_for_one(gamma):
    """Whose single logit is the difference of the two."""
    logits, target = pixels(4, classes=2)
    total, weight = Focal(2, gamma=gamma)(logits, target)
    known = target < 2
    theirs = sigmoid_focal_loss(logits[:, 1] - logits[:, 0], (target == 1).float(), alpha=-1, gamma=gamma)
    assert weight.item() == known.sum().item()
    torch.testing.assert_close(total, theirs[known].sum())


def test_focal_by_hand_with_class_weights():
    """Probabilities of the true classes: 0.25 and 0.5; the third is void."""
    logits = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]]).log()
    total, weight = Focal(2, torch.tensor([3.0, 1.0]), gamma=2)(logits, torch.tensor([0, 1, 2]))
    assert weight.item() == 4
    assert total.item() == pytest.approx(3 * 0.75**2 * math.log(4) + 0.5**2 * math.log(2))


def test_focal_has_a_finite_gradient_where_the_network_is_certain():
    logits = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], requires_grad=True)
    total, _ = Focal(2, gamma=0.5)(logits, torch.tensor([0, 0]))
    total.backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[1].tolist() == pytest.approx([-1, 1], rel=1e-3)  # p = 0: as the cross-entropy


@pytest.mark.parametrize("classes", [2, 5])
def test_lovasz_is_smps_of_each_image(classes):
    smp = pytest.importorskip("segmentation_models_pytorch")
    logits, target = pixels(5, classes)
    logits.requires_grad_()
    total, weight = LovaszSoftmax(classes, cross_entropy=0)(logits, target)
    reference = smp.losses.LovaszLoss("multiclass", ignore_index=classes)
    sizes = [(each != classes).sum() for each in target]
    images = [reference(logits[i : i + 1], target[i : i + 1].long()) * sizes[i] for i in range(2)]
    assert weight.item() == sum(sizes).item()
    torch.testing.assert_close(total, sum(images))
    ours, theirs = (torch.autograd.grad(each, logits, retain_graph=True)[0] for each in (total, sum(images)))
    torch.testing.assert_close(ours, theirs)


def test_lovasz_by_hand():
    """One class true in both pixels, with errors 0.6 and 0.2: IoU falls by 1/2 with each that is wrong; so too of the other."""
    logits = torch.tensor([[[0.4, 0.8], [0.6, 0.2]]]).log()[..., None]
    total, weight = LovaszSoftmax(2, cross_entropy=0.5)(logits, torch.zeros(1, 2, 1, dtype=torch.uint8))
    assert (total / weight).item() == pytest.approx((0.6 + 0.2) / 2 - 0.5 * (math.log(0.4) + math.log(0.8)) / 2)


@pytest.mark.parametrize("make", [Focal, LovaszSoftmax])
def test_a_batch_is_the_sum_of_its_images_and_void_alone_is_nothing(make):
    logits, target = pixels(6)
    loss = make(3, torch.tensor([0.5, 1.0, 2.0]))
    whole, parts = loss(logits, target), [loss(logits[i : i + 1], target[i : i + 1]) for i in range(2)]
    for k in range(2):
        torch.testing.assert_close(whole[k], parts[0][k] + parts[1][k])
    assert [each.item() for each in loss(logits, torch.full_like(target, 3))] == [0, 0]
    assert loss(logits[:, :, 0, 0], target[:, 0, 0])[0].isfinite()  # of images with one class each


@pytest.mark.parametrize("make", [Focal, LovaszSoftmax])
def test_several_auxiliary_heads_add_their_part(make):
    logits, target = pixels(7)
    both, weight = TrainingLoss(make(3), 3, 0.4)((logits, logits.flip(0), 2 * logits), target)
    parts = [make(3)(each, target)[0] for each in (logits, logits.flip(0), 2 * logits)]
    torch.testing.assert_close(both / weight, (parts[0] + 0.4 * (parts[1] + parts[2])) / weight)
