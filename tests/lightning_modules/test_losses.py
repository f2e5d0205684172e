import pytest
import torch
from torch.nn import functional

from lightning_modules.losses import CrossEntropySum


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.2, 1.0, 3.0])])
@pytest.mark.parametrize("shape", [(), (4, 5)])
def test_sum_over_weight_is_torchs_mean(smoothing, weights, shape):
    logits, target = torch.randn(6, 3, *shape), torch.randint(0, 4, (6, *shape))  # 3 is void
    total, weight = CrossEntropySum(3, weights, smoothing)(logits, target)
    mean = functional.cross_entropy(logits, target, weights, ignore_index=3, label_smoothing=smoothing)
    torch.testing.assert_close(total / weight, mean)


def test_all_void_weighs_nothing():
    total, weight = CrossEntropySum(3)(torch.randn(2, 3), torch.tensor([3, 3]))
    assert (total.item(), weight.item()) == (0.0, 0.0)
