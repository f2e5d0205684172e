import pytest

from lightning_modules.weights.load import IMAGENET_MEAN, IMAGENET_STD, published_weights

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
