"""A network as a graph that is exported: normalisation inside, and no operation that only works at one size of images."""

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.networks.custom_cnn import CustomCNN
from lightning_modules.networks.libraries import SMPSegmenter


class ExportedGraph(nn.Module):
    """Images (B, 3, H, W) of 0–255, RGB, in uint8 or float32, to float32 logits, or with `ids` to int32 class indices.

    `network` is a copy of a trained network in float32 on the CPU; `mean` and `inverse_deviation` (1, 3, 1, 1) are those of
    `SupervisedModule`, for images of 0–255.
    """

    def __init__(self, network: nn.Module, mean: Tensor, inverse_deviation: Tensor, *, ids: bool = False) -> None:
        super().__init__()
        self.network, self.ids = exportable(network), ids
        self.register_buffer("mean", mean.detach().float().cpu().clone())
        self.register_buffer("inverse_deviation", inverse_deviation.detach().float().cpu().clone())

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, or the class indices."""
        normalised = (images.float() - cast(Tensor, self.mean)) * cast(Tensor, self.inverse_deviation)
        logits = self.network(normalised)
        logits = cast(Tensor, logits["out"] if isinstance(logits, Mapping) else logits).float()
        return logits.argmax(1).to(torch.int32) if self.ids else logits


def exportable(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode, in float32 on the CPU, that computes the same and can be exported for any size of images.

    Adaptive pooling and padding to a stride are written with operations that hold for all sizes.
    """
    found = copy.deepcopy(network).eval().float().cpu().to(memory_format=torch.contiguous_format)
    for layer in found.modules():
        name = next((each.__name__ for each in type(layer).__mro__ if each.__name__ in REPLACEMENTS), None)
        if name is not None:
            layer.__class__ = REPLACEMENTS[name]
    return found


def adaptive_average(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average maps (B, C, H, W) over the cells of a grid (rows, columns), as torch's adaptive pooling, for any H and W.

    torch.onnx converts that pooling for one size only; this is a product with a matrix per side, whose rows are 1 / (length of the
    cell) inside a cell and 0 elsewhere.
    """
    rows, columns = (_cells(maps, side, count) for side, count in zip(maps.shape[-2:], grid, strict=True))
    return rows @ maps @ columns.transpose(0, 1)


def _cells(maps: Tensor, side: int, count: int) -> Tensor:
    """(count, side): the weight of each pixel in each cell; cell i reaches from floor(i·side/count) to ceil((i+1)·side/count)."""
    cell = torch.arange(count, device=maps.device)[:, None]
    pixel = torch.arange(side, device=maps.device)[None]
    first, last = cell * side // count, ((cell + 1) * side + count - 1) // count
    return ((pixel >= first) & (pixel < last)).to(maps.dtype) / (last - first).to(maps.dtype)


class _AdaptiveAverage(nn.AdaptiveAvgPool2d):
    def forward(self, maps: Tensor) -> Tensor:
        size = self.output_size
        height, width = size if isinstance(size, tuple) else (size, size)
        if (height, width) == (1, 1):
            return maps.mean((2, 3), keepdim=True)
        if height is None or width is None:  # as many as the maps have
            return super().forward(maps)
        return adaptive_average(maps, (height, width))


class _CustomCNN(CustomCNN):
    def forward(self, images: Tensor) -> Tensor:
        maps = adaptive_average(self.shrink(self.blocks(images)), self.grid)
        return cast(Tensor, self.classifier(self.hidden(self.dropout(maps.flatten(1)))))


class _SMPSegmenter(SMPSegmenter):
    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        # Not -height % stride: of a multiple torch.export knows what halving it gives, and needs seconds instead of hours.
        rows, columns = ((side + self.stride - 1) // self.stride * self.stride for side in (height, width))
        logits = cast(Tensor, self.model(functional.pad(images, (0, columns - width, 0, rows - height))))
        return functional.pad(
            logits, (0, width - columns, 0, height - rows)
        )  # a slice would hold for no multiple of the stride


class _Conv2dSame(nn.Conv2d):
    """TensorFlow's padding, timm's Conv2dSame: the output has ceil(side / stride) pixels, an odd one is padded at the end."""

    def forward(self, images: Tensor) -> Tensor:
        sides = zip(images.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        rows, columns = (_missing(side, (size - 1) * gap + 1, step) for side, size, step, gap in sides)
        padding = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return cast(Tensor, self._conv_forward(functional.pad(images, padding), self.weight, self.bias))


def _missing(side: int, reach: int, step: int) -> int:
    """Pixels that a side lacks for its last window, of `reach` pixels and `step` from the one before it, to be whole."""
    lacking = ((side + step - 1) // step - 1) * step + reach - side
    # A maximum that is not needed makes exporting slow.
    return lacking if reach >= step else cast(int, torch.sym_max(lacking, 0))


# By the name of the class, because timm is optional.
REPLACEMENTS: Mapping[str, type[nn.Module]] = {
    "AdaptiveAvgPool2d": _AdaptiveAverage,
    "Conv2dSame": _Conv2dSame,
    "CustomCNN": _CustomCNN,
    "SMPSegmenter": _SMPSegmenter,
}
