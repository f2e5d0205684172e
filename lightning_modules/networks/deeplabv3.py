"""torchvision's DeepLabV3 with heads for our classes."""

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

# torchvision's MobileNetV3 has 0.01, tuned for ImageNet's many steps: trained from scratch, its validation scores stay
# near zero for the first epochs.
BATCHNORM_MOMENTUM = 0.1


class DeepLabV3(nn.Module):
    """A DeepLabV3 of torchvision, with an auxiliary head: images (B, 3, H, W) to logits (B, num_classes, H, W).

    In training it returns a pair: the logits, and those of the auxiliary head.
    Source: Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, arXiv 1706.05587.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier = model.backbone, model.classifier
        self.aux_classifier = model.aux_classifier
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = BATCHNORM_MOMENTUM

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits at the size of the images."""
        features = cast(Callable[[Tensor], dict[str, Tensor]], self.backbone)(images)
        size = images.shape[-2:]
        logits = _upsample(cast(nn.Module, self.classifier)(features["out"]), size)
        if not self.training:
            return logits
        return logits, _upsample(cast(nn.Module, self.aux_classifier)(features["aux"]), size)


def _upsample(logits: Tensor, size: Any) -> Tensor:
    # In float32: in bf16 neighbouring scores would become equal.
    return nn.functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)


def deeplabv3_resnet50(num_classes: int) -> nn.Module:
    """Return DeepLabV3 on ResNet-50, output stride 8, with fresh weights."""
    return _build("deeplabv3_resnet50", num_classes)


def deeplabv3_resnet101(num_classes: int) -> nn.Module:
    """Return DeepLabV3 on ResNet-101, output stride 8, with fresh weights."""
    return _build("deeplabv3_resnet101", num_classes)


def deeplabv3_mobilenet_v3_large(num_classes: int) -> nn.Module:
    """Return DeepLabV3 on MobileNetV3-Large, output stride 16, with fresh weights."""
    return _build("deeplabv3_mobilenet_v3_large", num_classes)


def _build(name: str, num_classes: int) -> nn.Module:
    from torchvision.models import get_model

    return DeepLabV3(get_model(name, weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=True))
