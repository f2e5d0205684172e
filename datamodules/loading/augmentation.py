"""Augmentation as a function of (seed, epoch, sample): no state, no worker and no restart can change it."""

import hashlib
import math
import os
from typing import TYPE_CHECKING

import numpy as np

from datamodules.errors import DatasetError
from datamodules.files.image_cache import Image
from settings.base import as_typed

# albumentations queries a server for newer versions on import unless this is set.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

if TYPE_CHECKING:
    from albumentations import BaseCompose, Compose


class Augmentation:
    """An albumentations pipeline whose random draws depend on (seed, epoch, sample name) alone.

    `transform` must return uint8 images; None: no augmentation. `void` is the class index of masks where a transform
    shows pixels from outside of the image.
    """

    def __init__(self, transform: "Compose | None", seed: int, void: int | None = None) -> None:
        self.transform = transform
        self.seed = seed
        self.void = void
        if transform is not None:
            transform.is_check_shapes = False  # image and mask come from one sample; the check is a fifth of the cost
            if void is not None:
                _fill_masks_with(transform, void)

    def __call__(self, image: Image, *, name: str, epoch: int, mask: Image | None = None) -> tuple[Image, Image | None]:
        """Augment (H, W, 3) uint8 and its mask (H, W) uint8. Raises DatasetError where `transform` returns others."""
        if self.transform is None:
            return image, mask
        assert mask is None or self.void is not None, "masks need a void to be filled with"
        seed = draw_seed(self.seed, epoch, name)
        draws = self.transform.py_random
        draws.seed(seed)
        # `Compose.set_random_seed` would give every transform a generator of its own with the same seed: two flips with
        # p=0.5 would then always happen together. Generators that all share draw independently, in a fifth of the time.
        self.transform.set_random_state(np.random.default_rng(seed), draws)
        result = self.transform(image=image, mask=mask)
        augmented = result["image"]
        if not isinstance(augmented, np.ndarray) or augmented.dtype != np.uint8 or augmented.ndim != 3:
            raise DatasetError(
                "aug.transform returns something else than a uint8 image of height × width × 3; leave out "
                "Normalize, ToFloat and ToTensorV2: the model does that on its device."
            )
        return augmented, result["mask"]


def draw_seed(seed: int, epoch: int, name: str) -> int:
    """Return a seed of 64 bits that depends on (seed, epoch, name) alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{epoch}:{name}".encode(), digest_size=8).digest(), "big")


def _fill_masks_with(transform: "BaseCompose", void: int) -> None:
    """Make every transform of a pipeline fill masks with `void`, nested pipelines included."""
    for part in transform.transforms:
        if hasattr(part, "transforms"):
            _fill_masks_with(part, void)
        elif getattr(part, "fill_mask", None) is not None:
            part.fill_mask = void


def check_training_size(augmentation: Augmentation | None, given: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Raise DatasetError where an augmentation shrinks `given` images (height, width) below what it cuts out of them.

    Where `wanted` is another size, it must make images of that size.
    """
    _check_scales(augmentation, given)
    if given == wanted:
        return
    made = given if augmentation is None else augmentation(np.zeros((*given, 3), np.uint8), name="", epoch=0)[0].shape
    if made[:2] != wanted:
        raise DatasetError(
            f"data.load_size={as_typed(given)}: the augmentation makes pictures of {as_typed(made[:2])} of them, not of "
            f"data.image_size={as_typed(wanted)}; take aug=road, which cuts that out, or leave data.load_size out."
        )


def _check_scales(augmentation: Augmentation | None, given: tuple[int, int]) -> None:
    """Raise DatasetError for a random scale that makes images smaller than the crop that follows: most draws would not show it."""
    least, transform = 1.0, None if augmentation is None else augmentation.transform
    for each in transform.transforms if transform is not None else ():
        if type(each).__name__ == "RandomScale":
            least *= 1 + each.scale_limit[0]
        if type(each).__name__ == "RandomCrop" and not each.pad_if_needed:
            small = [int(side * least) for side in given]
            cut = [each.height, each.width]
            if small[0] < cut[0] or small[1] < cut[1]:
                enough = max(side / whole for side, whole in zip(cut, given, strict=True)) - 1
                raise DatasetError(
                    f"aug.scale_limit: images of {as_typed(given)} shrink to as little as {as_typed(small)}, from which {as_typed(cut)}, "
                    f"data.image_size, cannot be cut. Type aug.scale_limit=[{math.ceil(100 * enough) / 100:g},…] at least, or a smaller "
                    "data.image_size."
                )
