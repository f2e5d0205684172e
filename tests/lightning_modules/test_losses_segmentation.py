import math

import pytest
import torch
from torch.nn import functional

from lightning_modules.losses import DiceCrossEntropy, OnlineHardExampleMining
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
