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
    """

    heads: tuple[str, ...]
    imagenet: str | None = None


ARCHITECTURES = {
    "custom_cnn": Architecture(heads=("classifier",)),
    # torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url, repeated here so that other networks start without torchvision.
    "resnet18": Architecture(heads=("fc",), imagenet="https://download.pytorch.org/models/resnet18-f37072fd.pth"),
}
