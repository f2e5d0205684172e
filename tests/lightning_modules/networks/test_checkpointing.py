"""Gradient checkpointing: less is kept for the backward pass, and every bit is as without it."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models import densenet121, mobilenet_v3_small, resnet18
from torchvision.models.segmentation import deeplabv3_resnet50

from lightning_modules.networks.checkpointing import with_checkpoints

NETWORKS = {
    "resnet18": (resnet18, 8),
    "densenet121": (densenet121, 7),
    "mobilenet": (mobilenet_v3_small, 43),
    "deeplabv3": (lambda: deeplabv3_resnet50(weights_backbone=None), 21),
}


def library_networks():
    timm, smp = pytest.importorskip("timm"), pytest.importorskip("segmentation_models_pytorch")
    return {
        "vit": lambda: timm.create_model("vit_tiny_patch16_224", img_size=64),
        "swin": lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=64, window_size=2),
        "convnext": lambda: timm.create_model("convnext_atto", drop_path_rate=0.5),
        "unet": lambda: smp.create_model("Unet", "tu-tf_efficientnet_lite0", encoder_weights=None, classes=7),
        "segformer": lambda: smp.create_model("Segformer", "mit_b0", encoder_weights=None, classes=7),
    }


def step(network, images):
    """The bytes kept for the backward pass, the gradients and the buffers of one training step."""
    kept = []
    network.train()
    torch.manual_seed(3)  # dropout and stochastic depth
    pack = lambda tensor: kept.append(tensor.numel() * tensor.element_size()) or tensor  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = network(images)
        loss = (logits["out"] if isinstance(logits, dict) else logits).square().mean()
    loss.backward()
    gradients = {name: each.grad.clone() for name, each in network.named_parameters() if each.grad is not None}
    return sum(kept), gradients, {name: each.clone() for name, each in network.named_buffers()}


def check(make, most):
    torch.manual_seed(1)
    plain = make()
    checkpointed = copy.deepcopy(plain)
    assert with_checkpoints(checkpointed) > 0
    assert list(checkpointed.state_dict()) == list(plain.state_dict())
    images = torch.rand(2, 3, 64, 64)
    kept, gradients, buffers = step(plain, images)
    less, again, counted = step(checkpointed, images)
    assert less < most * kept
    assert again.keys() == gradients.keys()
    assert all(torch.equal(again[name], gradients[name]) for name in gradients)
    assert all(torch.equal(counted[name], buffers[name]) for name in buffers)  # BatchNorm has seen the batch once
    plain.eval(), copy.deepcopy(checkpointed.eval())
    with torch.no_grad():
        one, other = plain(images), checkpointed(images)
    assert torch.equal(*(each["out"] if isinstance(each, dict) else each for each in (one, other)))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_torchvision(name):
    make, blocks = NETWORKS[name]
    assert with_checkpoints(make()) == blocks
    check(make, 0.6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "swin", "convnext", "unet", "segformer"])
def test_networks_of_timm_and_smp(name):
    check(library_networks()[name], 0.5)


def test_a_network_without_blocks_has_none_and_stays_as_it_is():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    assert with_checkpoints(network) == 0
    assert [type(each) for each in network] == [nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear]
