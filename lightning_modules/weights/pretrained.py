"""Published weights of torchvision's models, found in torchvision's own registry."""

import inspect
from dataclasses import dataclass

# Mean and standard deviation of ImageNet's red, green and blue, in 0–1: those of all but a few models of torchvision.
# Source: torchvision.transforms._presets.ImageClassification.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Where networks of torchvision are built: by torchvision itself, or by our functions of the same names.
TORCHVISION = ("torchvision.models.", "lightning_modules.networks.resnet.", "lightning_modules.networks.deeplabv3.")


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights on torchvision's server, the number of classes of its heads, and the normalisation of its images."""

    url: str
    num_classes: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


def published_weights(target: str, kind: str) -> PublishedWeights | None:
    """Return torchvision's weights for a network, or None where there are none.

    `target` is the dotted name of the function that builds the network, such as ``torchvision.models.resnet34``; `kind` is
    ``imagenet`` (the first version; of a segmentation model those of its backbone) or ``coco_voc``.
    """
    from torchvision import models

    name = target.rpartition(".")[2]
    if not target.startswith(TORCHVISION) or name not in models.list_models():
        return None
    builder = models.get_model_builder(name)
    known = dict(models.get_model_weights(builder).__members__)
    if kind == "coco_voc":
        found = known.get("COCO_WITH_VOC_LABELS_V1")
    elif backbone := inspect.signature(builder).parameters.get("weights_backbone"):
        found = backbone.default
    else:
        found = known.get("IMAGENET1K_V1") or known.get("DEFAULT")
    if found is None or (kind == "imagenet" and not found.name.startswith("IMAGENET1K")):
        return None
    preset = found.transforms()
    return PublishedWeights(found.url, len(found.meta["categories"]), tuple(preset.mean), tuple(preset.std))
