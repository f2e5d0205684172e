"""What an evaluation knows about each sample, gathered over batches and ranks."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

_TYPES = {
    "index": torch.int64,
    "target": torch.int64,
    "prediction": torch.int64,
    "probability": torch.float32,
    "loss": torch.float32,
}


class SampleRecords(Metric):
    """Keep one row per evaluated sample: its index, true and predicted class, probability and loss.

    A sample that was counted twice has two rows; whoever needs to know compares the number of rows with the
    number of different indices.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self) -> None:
        super().__init__()
        for name in _TYPES:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, index: Tensor, target: Tensor, prediction: Tensor, probability: Tensor, loss: Tensor) -> None:
        """Add a batch.

        Args:
            index: (B,) integer, the samples' positions in the table.
            target: (B,) integer, the true classes.
            prediction: (B,) integer, the predicted classes.
            probability: (B,) float in 0–1, what the model gave the predicted class.
            loss: (B,) float, each sample's own loss.

        Raises:
            ValueError: the five do not have the same length, or one is not a vector.
        """
        batch = {"index": index, "target": target, "prediction": prediction, "probability": probability, "loss": loss}
        if any(values.ndim != 1 or len(values) != len(index) for values in batch.values()):
            shapes = ", ".join(f"{name} {tuple(values.shape)}" for name, values in batch.items())
            raise ValueError(f"records are vectors of one length, a value per sample; got {shapes}")
        for name, values in batch.items():
            getattr(self, name).append(values.detach().to(_TYPES[name]))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the rows of all ranks."""
        # A rank without a batch takes part with empty vectors; torchmetrics' own would have the wrong type.
        for name, kind in _TYPES.items():
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                getattr(self, name).append(torch.empty(0, dtype=kind, device=self.device))
        super().sync(*args, **kwargs)

    def compute(self) -> dict[str, np.ndarray]:
        """All rows as (N,) arrays `index`, `target`, `prediction` (int64), `probability`, `loss` (float32).

        They are sorted by index (rows of a repeated index by their other values), so that the result is the
        same in whatever order and on whichever rank they were added.
        """
        rows = {}
        for name, kind in _TYPES.items():
            state = getattr(self, name)
            empty = isinstance(state, list) and not state
            rows[name] = np.asarray((torch.empty(0, dtype=kind) if empty else dim_zero_cat(state)).cpu())
        order = np.lexsort([rows[name] for name in reversed(_TYPES)])
        return {name: values[order] for name, values in rows.items()}
