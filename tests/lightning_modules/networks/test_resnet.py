import torch
from torchvision.models import resnet18 as reference

from lightning_modules.networks.resnet import resnet18


def test_resnet18_is_torchvisions_with_another_head():
    ours = {name: tensor.shape for name, tensor in resnet18(7).state_dict().items()}
    theirs = {name: tensor.shape for name, tensor in reference().state_dict().items()}
    assert ours.pop("fc.weight") == (7, 512)
    assert ours.pop("fc.bias") == (7,)
    assert ours == {name: shape for name, shape in theirs.items() if not name.startswith("fc.")}
    assert resnet18(7).eval()(torch.randn(2, 3, 40, 64)).shape == (2, 7)
