"""State dicts of torchvision's models; what does not fit is tested with `load_weights`."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import segmentation

from lightning_modules.errors import WeightsError
from lightning_modules.weights.state_dict import Heads, load_backbone, load_network

HEADS = {
    "alexnet": {"classifier.6"},
    "squeezenet1_1": {"classifier.1"},
    "mobilenet_v3_small": {"classifier.3"},
    "densenet121": {"classifier"},
    "googlenet": {"fc", "aux1.fc2", "aux2.fc2"},
    "vit_b_32": {"heads.head"},
    "convnext_tiny": {"classifier.2"},
    "lraspp_mobilenet_v3_large": {"classifier.low_classifier", "classifier.high_classifier"},
    "fcn_resnet50": {"classifier.4"},
}


@pytest.mark.parametrize("name", HEADS)
def test_everything_but_the_heads_is_loaded(name):
    """A state dict of ones, as published, with auxiliary heads and without."""
    published, build = (
        (21, getattr(segmentation, name)) if hasattr(segmentation, name) else (1000, getattr(models, name))
    )
    settings = {"weights_backbone": None} if published == 21 else {}
    with torch.device("meta"):
        source = build(
            num_classes=published, **settings, **({"aux_loss": True} if name == "fcn_resnet50" else {})
        ).state_dict()
        network = build(num_classes=7, **settings)
    network = network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.zero_()
    load_network(
        network, {key: torch.ones(tensor.shape) for key, tensor in source.items()}, Heads(7, published), "x.pth"
    )
    untouched = {key.rpartition(".")[0] for key, tensor in network.state_dict().items() if not tensor.all()}
    assert untouched == HEADS[name]


def test_densenets_published_names_are_those_of_an_older_torch():
    with torch.device("meta"):
        network = models.densenet121(num_classes=1000)
    network = network.to_empty(device="cpu")
    state = {key: torch.ones(tensor.shape) for key, tensor in network.state_dict().items()}
    for part in ("norm", "conv"):
        state = {key.replace(f".{part}1.", f".{part}.1.").replace(f".{part}2.", f".{part}.2.") if "denselayer" in key else key: tensor for key, tensor in state.items()}  # fmt: skip
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    assert load_network(network, state, Heads(1000), "x.pth") == []
    assert all(bool((tensor == 1).all()) for tensor in network.state_dict().values())


def test_a_backbone_takes_a_classifiers_weights_without_its_head():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    trained = {f"features.{name}": tensor + 1 for name, tensor in backbone.state_dict().items()}
    load_backbone(backbone, {**trained, "classifier.weight": torch.ones(9, 4)}, "x.pth")
    assert all(torch.equal(tensor, trained[f"features.{name}"]) for name, tensor in backbone.state_dict().items())
    del trained["features.0.bias"]
    with pytest.raises(WeightsError, match=r"x\.pth does not fit the backbone: missing 0\.bias"):
        load_backbone(backbone, trained, "x.pth")


def test_a_narrower_layer_is_no_head():
    """It has as many rows less in every tensor, but not as many as there are classes."""
    network, other = nn.Sequential(nn.Linear(2, 4)), nn.Sequential(nn.Linear(2, 5))
    with pytest.raises(WeightsError, match=r"0\.weight is 5×2, the network's is 4×2"):
        load_network(network, other.state_dict(), Heads(num_classes=3), "x.pth")
    assert load_network(network, other.state_dict(), Heads(num_classes=4), "x.pth") == [
        "the head (0) is for another number of classes and starts fresh"
    ]
