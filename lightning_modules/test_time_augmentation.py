"""Predicting with more than one look: flipped, at several scales, in windows; all of them become one prediction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Predictor = Callable[[Tensor], Tensor]  # (B, 3, H, W) images -> float32 logits (B, C, H, W), or (B, C) of whole images


@dataclass(frozen=True)
class Inference:
    """How images are looked at when they are evaluated; as it stands, once and whole.

    Args:
        flip: look also at the mirror image (left and right).
        scales: sizes to look at, as parts of the images' own.
        window: (height, width) in pixels of what is looked at at a time, at each scale; None: the whole image.
        stride: (height, width) in pixels from one window to the next.
    """

    flip: bool = False
    scales: Sequence[float] = (1.0,)
    window: Sequence[int] | None = None
    stride: Sequence[int] | None = None

    def __call__(self, predict: Predictor, images: Tensor) -> Tensor:
        """Logits of (B, 3, H, W) images, at their size; of several looks the logarithms of the mean probabilities."""
        if self.window is None:
            return averaged(predict, images, self.flip, self.scales)
        window, stride = self.window, self.stride or self.window
        return averaged(lambda seen: in_windows(predict, seen, window, stride), images, self.flip, self.scales)


def averaged(predict: Predictor, images: Tensor, flip: bool, scales: Sequence[float]) -> Tensor:
    """Logits of images, the mean over scales and mirror images.

    Args:
        predict: what is asked at each look.
        images: (B, 3, H, W), 0–255.
        flip: whether each scale is looked at mirrored too.
        scales: as parts of H and W; what is smaller is resized with antialiasing.

    Returns:
        as `predict` gives them where there is one look at the images' own size. Else the logarithms of probabilities
        that were averaged in float32, after the logits of each look had been resized to (H, W): their softmax is that
        mean, so that predictions and losses follow from them as from any logits.
    """
    if not flip and tuple(scales) == (1.0,):
        return predict(images)
    looks = [(scale, mirrored) for scale in scales for mirrored in ((False, True) if flip else (False,))]
    total: Tensor | None = None
    for scale, mirrored in looks:
        seen = _scaled(images, scale)
        logits = predict(seen.flip(-1) if mirrored else seen)
        if logits.ndim == 4:
            logits = _resized(logits.flip(-1) if mirrored else logits, images.shape[-2:])
        probabilities = logits.float().softmax(1)
        total = probabilities if total is None else total.add_(probabilities)
    if total is None:
        raise ValueError("no scale to look at")
    # What underflowed to 0 would make a loss infinite.
    return total.div_(len(looks)).clamp_(min=torch.finfo(torch.float32).tiny).log_()


def in_windows(predict: Predictor, images: Tensor, window: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Logits (B, C, H, W) of images (B, 3, H, W) that are looked at in windows; the mean where these overlap.

    Args:
        predict: what is asked for each window; one of a batch at a time.
        images: larger or smaller than a window, which is then cut to their size.
        window: (height, width) in pixels.
        stride: (height, width) in pixels, not above `window`; the last window is shifted to lie inside.
    """
    height, width = (min(side, of) for side, of in zip(window, images.shape[-2:], strict=True))
    total: Tensor | None = None
    for top in window_starts(images.shape[-2], height, stride[0]):
        for left in window_starts(images.shape[-1], width, stride[1]):
            logits = predict(images[..., top : top + height, left : left + width]).float()
            if total is None:
                shape = (*logits.shape[:2], *images.shape[-2:])
                total, looks = logits.new_zeros(shape), logits.new_zeros(shape[-2:])
            total[..., top : top + height, left : left + width] += logits
            looks[top : top + height, left : left + width] += 1
    assert total is not None
    return total.div_(looks)


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side of `length` pixels: every `stride`, the last one so that it ends with the side."""
    last = length - window
    return [*range(0, last, stride), last]


def _scaled(images: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return images
    height, width = (max(1, round(side * scale)) for side in images.shape[-2:])
    return functional.interpolate(images.float(), (height, width), mode="bilinear", antialias=True)


def _resized(logits: Tensor, size: Sequence[int]) -> Tensor:
    if logits.shape[-2:] == tuple(size):
        return logits
    return functional.interpolate(logits.float(), tuple(size), mode="bilinear", align_corners=False)
