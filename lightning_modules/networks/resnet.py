"""torchvision's ResNets with a head for our classes."""

from typing import cast

from torch import nn


def resnet18(num_classes: int) -> nn.Module:
    """Return torchvision's ResNet-18 with fresh weights: images (B, 3, H, W) to logits (B, num_classes), for any H and W.

    Source: He et al., Deep Residual Learning for Image Recognition, arXiv 1512.03385.
    """
    from torchvision.models import get_model

    return cast(nn.Module, get_model("resnet18", weights=None, num_classes=num_classes))
