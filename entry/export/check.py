"""Whether an export predicts what the network predicts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from entry.errors import ExportError

LARGEST_DIFFERENCE = 1e-4  # of a logit, relative to the largest one
LEAST_EQUAL = 0.9999  # of the pixels, or images, have the same class
CELL = 8  # pixels of an area of one colour in the images that are compared


@dataclass(frozen=True)
class Compared:
    """What was found for some images of one size."""

    images: int
    height: int
    width: int
    difference: float | None  # the largest one of a logit, relative to the largest logit; None for class indices
    equal: float  # the share of equal classes

    @property
    def is_same(self) -> bool:
        """Whether the differences are those of another order of sums."""
        return (self.difference is None or self.difference <= LARGEST_DIFFERENCE) and self.equal >= LEAST_EQUAL


def cases(size: Sequence[int], *, fixed: bool) -> Iterator[tuple[int, int, int]]:
    """Yield (images, height, width) that are compared: several numbers of images, and unless it is `fixed` several sizes."""
    height, width = size
    yield 1, height, width
    yield 3, height, width
    if not fixed:
        yield 2, height + height // 3 + 1, width - width // 5
        yield 1, height - height // 5, width + width // 3 + 1


def compared(network: nn.Module, export: nn.Module, size: Sequence[int], *, fixed: bool, ids: bool) -> list[Compared]:
    """Compare the logits of a network and its export, both for images (B, 3, H, W) in uint8, in float32 on the CPU.

    With `ids` only the classes are compared. Raises ExportError with the largest difference and where it is.
    """
    found = []
    with torch.inference_mode():
        for number, height, width in cases(size, fixed=fixed):
            images = pictures(number, height, width)
            expected, actual = network(images), export(images)
            if actual.shape != expected.shape or not bool(actual.isfinite().all()):
                raise ExportError(
                    f"The export predicts {tuple(actual.shape)} numbers for images {tuple(images.shape)}, finite or not, and the network "
                    f"{tuple(expected.shape)}. Nothing was written."
                )
            equal = float((expected.argmax(1) == actual.argmax(1)).double().mean())
            difference = None if ids else float((expected - actual).abs().max() / expected.abs().max().clamp(min=1e-12))
            found.append(Compared(number, height, width, difference, equal))
    if any(not each.is_same for each in found):
        worst = max(found, key=lambda each: (not each.is_same, each.difference or 0, -each.equal))
        logits = (
            ""
            if worst.difference is None
            else f"logits differ by {worst.difference:.1e} (allowed: {LARGEST_DIFFERENCE:.0e}), and "
        )
        raise ExportError(
            f"The export does not predict what the network does: for {worst.images} images of {worst.height}×{worst.width} pixels {logits}"
            f"{worst.equal:.3%} of the classes are equal (needed: {LEAST_EQUAL:.2%}). Nothing was written."
        )
    return found


def facts(found: Sequence[Compared]) -> dict[str, Any]:
    """What the manifest has of the comparison."""
    return {
        "allowed": {"difference": LARGEST_DIFFERENCE, "equal": LEAST_EQUAL},
        "found": [asdict(each) for each in found],
    }


def pictures(number: int, height: int, width: int) -> Tensor:
    """Images (B, 3, H, W) in uint8 of coloured areas with noise, the same in every call."""
    generator = torch.Generator().manual_seed(number * height + width)
    rows, columns = -(-height // CELL), -(-width // CELL)
    areas = torch.randint(0, 256, (number, 3, rows, columns), generator=generator)
    whole = areas.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)[..., :height, :width]
    noise = torch.randint(-24, 25, whole.shape, generator=generator)
    return (whole + noise).clamp(0, 255).to(torch.uint8)
