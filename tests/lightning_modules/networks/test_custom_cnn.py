import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_modules.networks.custom_cnn import custom_cnn

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 64), (96, 64), (100, 45), (224, 224), (1, 5)])
def test_custom_cnn_takes_any_image_size(size):
    network = custom_cnn(5, size)
    logits = network(torch.randn(2, 3, *size))
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_custom_cnn_has_the_three_blocks_it_promises():
    layers = list(custom_cnn(6, (64, 64)).modules())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size, c.padding) for c in convolutions] == [
        (3, 32, (3, 3), (1, 1)),
        (32, 64, (3, 3), (1, 1)),
        (64, 128, (3, 3), (1, 1)),
    ]
    assert [layer.kernel_size for layer in layers if isinstance(layer, nn.MaxPool2d)] == [4, 2, 2]


def test_custom_cnn_accepts_evaluation_images_of_another_size():
    network = custom_cnn(3, (64, 64)).eval()
    assert network(torch.randn(2, 3, 96, 50)).shape == (2, 3)


@pytest.mark.parametrize("size", [(64, 64), (100, 45), (224, 224)])
def test_custom_cnn_trains_with_layers_that_are_deterministic_on_every_device(size, monkeypatch):
    def adaptive(*_):
        raise AssertionError("adaptive pooling has no deterministic gradient on GPUs")

    monkeypatch.setattr(nn.functional, "adaptive_avg_pool2d", adaptive)
    custom_cnn(3, size)(torch.randn(2, 3, *size))


def test_custom_cnn_learns_to_distinguish_left_and_right():
    torch.manual_seed(0)
    network = custom_cnn(2, (32, 32)).train()
    images, target = torch.randn(32, 3, 32, 32) * 0.1, torch.arange(32) % 2
    images[target == 0, :, :, :16] += 1
    images[target == 1, :, :, 16:] += 1
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), target).backward()
        optimizer.step()
    assert (network.eval()(images).argmax(1) == target).float().mean() == 1.0


def test_the_small_network_starts_without_torchvision():
    program = "import sys, lightning_modules.networks.custom_cnn, lightning_modules.weights.load; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
