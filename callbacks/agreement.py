"""What all ranks must decide alike, although only one of them has heard of it."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist


class Agreement:
    """Takes the largest of what the ranks say, without a GPU having to be waited for.

    Made on every rank at the same time; with one process it costs nothing.
    """

    def __init__(self) -> None:
        self._together = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self._group: Any = None
        if self._together and dist.get_backend() != "gloo":  # numbers of the host, exchanged between hosts
            self._group = dist.new_group(backend="gloo")

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """The element-wise largest of the numbers of all ranks; every rank must ask."""
        if not self._together:
            return list(numbers)
        tensor = torch.tensor(numbers)
        dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._group)
        return [int(number) for number in tensor.tolist()]
