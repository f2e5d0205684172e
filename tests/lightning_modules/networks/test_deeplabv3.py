import pytest
import torch
from torch import nn
from torchvision.models import segmentation

from lightning_modules.networks import deeplabv3


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50"])
def test_logits_have_the_images_size_and_are_torchvisions(name):
    network = getattr(deeplabv3, name)(5).eval()
    reference = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=5, aux_loss=True).eval()
    reference.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 37, 53)
    with torch.inference_mode():
        assert network(images).shape == (2, 5, 37, 53)
        torch.testing.assert_close(network(images), reference(images)["out"])


def test_training_gives_both_heads_and_every_parameter_a_gradient():
    network = deeplabv3.deeplabv3_mobilenet_v3_large(5)
    main, auxiliary = network(torch.randn(2, 3, 32, 48))
    assert main.shape == auxiliary.shape == (2, 5, 32, 48)
    (main.mean() + auxiliary.mean()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_batchnorm_learns_as_fast_as_usual():
    momenta = {m.momentum for m in deeplabv3.deeplabv3_mobilenet_v3_large(5).modules() if isinstance(m, nn.BatchNorm2d)}
    assert momenta == {0.1}
