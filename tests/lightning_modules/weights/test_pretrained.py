import pytest
import torch
from torchvision import models
from torchvision.models import segmentation

from lightning_modules.weights.pretrained import IMAGENET_MEAN, IMAGENET_STD, published_weights
from lightning_modules.weights.state_dict import Heads, load_network

OURS = "lightning_modules.networks"
FILES = {  # those of the first version of each
    f"{OURS}.resnet.resnet18": ("resnet18-f37072fd.pth", None),
    f"{OURS}.deeplabv3.deeplabv3_resnet50": ("resnet50-0676ba61.pth", "deeplabv3_resnet50_coco-cd0a2569.pth"),
    f"{OURS}.deeplabv3.deeplabv3_resnet101": ("resnet101-63fe2227.pth", "deeplabv3_resnet101_coco-586e9e4e.pth"),
    f"{OURS}.deeplabv3.deeplabv3_mobilenet_v3_large": ("mobilenet_v3_large-8738ca79.pth", "deeplabv3_mobilenet_v3_large-fc3c493d.pth"),
    "torchvision.models.resnet34": ("resnet34-b627a593.pth", None),
    "torchvision.models.efficientnet.efficientnet_b0": ("efficientnet_b0_rwightman-7f5810bc.pth", None),
    "torchvision.models.segmentation.fcn_resnet50": ("resnet50-0676ba61.pth", "fcn_resnet50_coco-1167a1af.pth"),
    "torchvision.models.segmentation.lraspp_mobilenet_v3_large": ("mobilenet_v3_large-8738ca79.pth", "lraspp_mobilenet_v3_large-d234d4ea.pth"),
    "torchvision.models.vit_h_14": ("vit_h_14_swag-80465313.pth", None),  # there is no first version
    f"{OURS}.custom_cnn.custom_cnn": (None, None),
    "mypackage.resnet18": (None, None),
    "torchvision.models.video.r3d_18": (None, None),
}  # fmt: skip


@pytest.mark.parametrize("target", FILES)
def test_files_are_torchvisions(target):
    for kind, file, count in zip(("imagenet", "coco_voc"), FILES[target], (1000, 21), strict=True):
        found = published_weights(target, kind)
        assert (found and found.url) == (file and f"https://download.pytorch.org/models/{file}")
        assert found is None or (found.num_classes, found.mean, found.std) == (count, IMAGENET_MEAN, IMAGENET_STD)


def test_another_normalisation_is_torchvisions():
    found = published_weights("torchvision.models.efficientnet_v2_l", "imagenet")
    assert (found.mean, found.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


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
