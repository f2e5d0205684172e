"""What is known about each network by its name: its heads, and where its published weights lie."""

from dataclasses import dataclass

# Mean and standard deviation of ImageNet's red, green and blue, in 0–1.
# Source: torchvision.transforms._presets.ImageClassification; every ImageNet model of torchvision was trained with them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """Facts about a network that its weights need.

    Args:
        heads: the layers (submodule names) whose size follows from the number of classes.
        imagenet: address of the ImageNet weights, whose file name ends in the start of its SHA-256; None where there are none.
        backbone: the submodule that the ImageNet weights are for; empty where that is the whole network.
        backbone_prefix: what stands before the backbone's names in the ImageNet weights.
        coco_voc: address of weights trained on COCO's images of the 21 PASCAL VOC labels; None where there are none.
        auxiliary: the layers that only training uses: files of weights may come without them.
    """

    heads: tuple[str, ...]
    imagenet: str | None = None
    backbone: str = ""
    backbone_prefix: str = ""
    coco_voc: str | None = None
    auxiliary: tuple[str, ...] = ()


_MODELS = "https://download.pytorch.org/models/"
_DEEPLAB_HEADS = ("classifier.4", "aux_classifier.4")
_DEEPLAB_AUXILIARY = ("aux_classifier",)

# The addresses of torchvision's weights (`….IMAGENET1K_V1.url`, `….COCO_WITH_VOC_LABELS_V1.url`), repeated here so that
# other networks start without torchvision; a test compares them.
ARCHITECTURES = {
    "custom_cnn": Architecture(heads=("classifier",)),
    "resnet18": Architecture(heads=("fc",), imagenet=f"{_MODELS}resnet18-f37072fd.pth"),
    "deeplabv3_resnet50": Architecture(
        heads=_DEEPLAB_HEADS,
        imagenet=f"{_MODELS}resnet50-0676ba61.pth",
        backbone="backbone",
        coco_voc=f"{_MODELS}deeplabv3_resnet50_coco-cd0a2569.pth",
        auxiliary=_DEEPLAB_AUXILIARY,
    ),
    "deeplabv3_resnet101": Architecture(
        heads=_DEEPLAB_HEADS,
        imagenet=f"{_MODELS}resnet101-63fe2227.pth",
        backbone="backbone",
        coco_voc=f"{_MODELS}deeplabv3_resnet101_coco-586e9e4e.pth",
        auxiliary=_DEEPLAB_AUXILIARY,
    ),
    "deeplabv3_mobilenet_v3_large": Architecture(
        heads=_DEEPLAB_HEADS,
        imagenet=f"{_MODELS}mobilenet_v3_large-8738ca79.pth",
        backbone="backbone",
        backbone_prefix="features.",
        coco_voc=f"{_MODELS}deeplabv3_mobilenet_v3_large-fc3c493d.pth",
        auxiliary=_DEEPLAB_AUXILIARY,
    ),
}
