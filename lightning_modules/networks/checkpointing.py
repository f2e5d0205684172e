"""Gradient checkpointing: blocks whose inner activations are not kept for the backward pass, but computed again in it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class _Checkpointed(nn.Module):
    """What a block's class is combined with: only the block's input is kept where gradients are computed."""

    def forward(self, *args: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(*args, **options)
        # torch's own way of several (use_reentrant=True is the former one), which DDP and compilers support.
        return checkpoint(super().forward, *args, use_reentrant=False, context_fn=self._contexts, **options)

    def _contexts(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _without_statistics(self)


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """Leave BatchNorm's running statistics as they are: the first pass has updated them with the same batch already."""
    layers = [each for each in block.modules() if isinstance(each, _BatchNorm) and each.running_mean is not None]
    kept = [(layer.running_mean, layer.running_var, layer.num_batches_tracked) for layer in layers]
    for layer, values in zip(layers, kept, strict=True):
        layer.running_mean, layer.running_var, layer.num_batches_tracked = (cast(Any, each).clone() for each in values)
    try:
        yield
    finally:
        for layer, values in zip(layers, kept, strict=True):
            layer.running_mean, layer.running_var, layer.num_batches_tracked = values


def with_checkpoints(network: nn.Module) -> int:
    """Checkpoint the blocks of a network in place, and return their number. Names of weights, and values, stay as they are.

    Blocks are the members of sequences and lists, such as the residual blocks of a ResNet or the layers of a transformer: the
    innermost ones that have at least two layers with weights.
    """
    blocks = [each for each in _members(network) if not any(_is_block(inner) for inner in _members(each))]
    for block in blocks:
        block.__class__ = type(
            type(block).__name__, (_Checkpointed, type(block)), {"__module__": type(block).__module__}
        )
    return len(blocks)


def _members(network: nn.Module) -> list[nn.Module]:
    """The blocks inside a network, at any depth."""
    return [
        member
        for each in network.modules()
        if isinstance(each, nn.Sequential | nn.ModuleList) and each is not network
        for member in each
        if _is_block(member)
    ]


def _is_block(module: nn.Module) -> bool:
    weighted = sum(1 for each in module.modules() if any(True for _ in each.parameters(recurse=False)))
    return weighted >= 2 and not isinstance(module, nn.ModuleList)
