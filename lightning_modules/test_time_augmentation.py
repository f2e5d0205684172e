"""Test-time augmentation: predictions averaged over mirrored and rescaled views of an image, and over sliding windows."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Predictor = Callable[[Tensor], Tensor]  # images (B, 3, H, W) -> float32 logits (B, C, H, W), or (B, C) per image


@dataclass(frozen=True)
class TestTimeAugmentation:
    """How images are predicted when they are evaluated: by default once and whole.

    `scales` are relative to the image's own size; `window` and `stride` are (height, width) in pixels at each scale.
    """

    flip: bool = False
    scales: Sequence[float] = (1.0,)
    window: Sequence[int] | None = None
    stride: Sequence[int] | None = None

    def __call__(self, predict: Predictor, images: Tensor) -> Tensor:
        """Return the logits of images (B, 3, H, W) at their own size; for several views see `average_views`."""
        if self.window is None:
            return average_views(predict, images, self.flip, self.scales)
        window, stride = self.window, self.stride or self.window
        return average_views(lambda view: slide_window(predict, view, window, stride), images, self.flip, self.scales)


def average_views(predict: Predictor, images: Tensor, flip: bool, scales: Sequence[float]) -> Tensor:
    """Average predictions of images (B, 3, H, W) over scales, relative to H and W, and mirror images.

    Returns the logits unchanged where there is one view at the images' own size. Otherwise log-probabilities, averaged as
    float32 probabilities after the logits of each view were resized to (H, W): their softmax is that mean, so that
    predictions and losses are computed from them as from any logits.
    """
    if not flip and tuple(scales) == (1.0,):
        return predict(images)
    total: Tensor | None = None
    for scale, mirrored in itertools.product(scales, (False, True) if flip else (False,)):
        height, width = (max(1, round(side * scale)) for side in images.shape[-2:])
        view = images if scale == 1 else _resized(images, (height, width), antialias=True)
        logits = predict(view.flip(-1) if mirrored else view)
        if logits.ndim == 4:
            logits = _resized(logits.flip(-1) if mirrored else logits, images.shape[-2:])
        probabilities = logits.float().softmax(1)
        total = probabilities if total is None else total.add_(probabilities)  # in place: these are large
    assert total is not None
    # A probability that underflowed to 0 would make the loss infinite.
    views = len(scales) * (2 if flip else 1)
    return total.div_(views).clamp_(min=torch.finfo(torch.float32).tiny).log_()


def slide_window(predict: Predictor, images: Tensor, window: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Return the logits (B, C, H, W) of images (B, 3, H, W), predicted window by window; the mean where windows overlap.

    The window (height, width) is cropped to smaller images. The stride is at most the window's size; the last window is
    shifted to lie inside the image.
    """
    height, width = (min(side, of) for side, of in zip(window, images.shape[-2:], strict=True))
    total: Tensor | None = None
    for top in window_starts(images.shape[-2], height, stride[0]):
        for left in window_starts(images.shape[-1], width, stride[1]):
            logits = predict(images[..., top : top + height, left : left + width]).float()
            if total is None:
                shape = (*logits.shape[:2], *images.shape[-2:])
                total, count = logits.new_zeros(shape), logits.new_zeros(shape[-2:])
            total[..., top : top + height, left : left + width] += logits
            count[top : top + height, left : left + width] += 1
    assert total is not None
    return total.div_(count)


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window along a side of `length` pixels; the last window ends with the side."""
    last = length - window
    return [*range(0, last, stride), last]


def _resized(maps: Tensor, size: Sequence[int], *, antialias: bool = False) -> Tensor:
    if maps.shape[-2:] == tuple(size):
        return maps
    return functional.interpolate(maps.float(), tuple(size), mode="bilinear", antialias=antialias)
