"""Depthwise convolutions under CPU autocast: gradients of float32, predictions and weights as they were."""

import copy

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_modules.networks.depthwise import with_fast_gradients


class Convolutions(TorchDispatchMode):
    """Records the type of each convolution's images."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.dtypes.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 3, stride=2, groups=8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
    )


def gradients(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        output = model(images)
    assert output.dtype == torch.bfloat16
    output.float().square().mean().backward()
    return [parameter.grad for parameter in model.parameters()]


def test_only_slow_depthwise_convolutions_compute_in_float32():
    plain, fast = network(), network()
    with_fast_gradients(fast)
    assert [type(layer) is nn.Conv2d for layer in fast] == [True, False, False, True]
    assert list(fast.state_dict()) == list(plain.state_dict())
    copied = copy.deepcopy(fast)  # as an average of weights is
    with Convolutions() as found:
        gradients(copied, torch.randn(4, 3, 12, 16))
    low, full = torch.bfloat16, torch.float32
    assert found.dtypes == [low, full, full, low]


def test_gradients_are_closer_to_those_of_float32():
    images = torch.randn(4, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    plain, fast, exact = network(), network(), network().double()
    with_fast_gradients(fast)
    exact(images.double()).square().mean().backward()
    true = [parameter.grad for parameter in exact.parameters()]
    distance = [
        sum(float((own.double() - each).norm() / each.norm()) for own, each in zip(found, true, strict=True))
        for found in (gradients(plain, images), gradients(fast, images))
    ]
    assert distance[1] < distance[0] < 1


def test_predictions_are_those_of_the_plain_network():
    images = torch.randn(4, 3, 12, 16)
    plain, fast = network(), network()
    with_fast_gradients(fast)
    assert torch.equal(plain(images), fast(images))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain(images), fast(images))
