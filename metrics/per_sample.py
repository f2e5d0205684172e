"""Each evaluated sample's own counts and loss, gathered over batches and ranks."""

from collections.abc import Callable
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from metrics.counting import NO_FLOAT64, image_matrices
from metrics.counts import Counts, Predictions


class SampleRecords(Metric):
    """Keep a row per sample; a sample that was counted twice has two rows.

    Args:
        columns: by name the type and the shape (without the first dimension) of each column; `index` comes first.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, **columns: tuple[torch.dtype, tuple[int, ...]]) -> None:
        super().__init__()
        self.columns = columns
        for name in columns:
            self.add_state(name, [], dist_reduce_fx="cat")
        self.reset()

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **settings: Any) -> Self:
        """Stay on the CPU where the device has no float64."""
        moved = fn(torch.empty(0, dtype=torch.float32)).device.type
        return self if moved in NO_FLOAT64 else cast(Self, super()._apply(fn, *args, **settings))

    def reset(self) -> None:
        """Remove all rows."""
        super().reset()
        # A rank without a batch takes part with empty columns; torchmetrics' own would have the wrong type.
        for name, (kind, shape) in self.columns.items():
            getattr(self, name).append(torch.empty(0, *shape, dtype=kind, device=self.device))

    def update(self, **batch: Tensor) -> None:
        """Add a batch: a tensor with a row per sample for each column. Raises ValueError where the shapes do not fit."""
        expected = {name: (len(batch["index"]), *shape) for name, (_, shape) in self.columns.items()}
        if any(batch[name].shape != shape for name, shape in expected.items()):
            shapes = ", ".join(f"{name} {tuple(values.shape)}" for name, values in batch.items())
            raise ValueError(f"records have a row per sample in every column; got {shapes}")
        for name, (kind, _) in self.columns.items():
            # Copies: a tensor from a loader's worker holds shared memory and open files for as long as it is kept.
            getattr(self, name).append(batch[name].detach().to(self.device).to(kind, copy=True))

    def compute(self) -> dict[str, np.ndarray]:
        """Return the rows of all ranks by column, sorted by index (those of a repeated index by their other values)."""
        columns = {name: np.asarray(dim_zero_cat(getattr(self, name)).cpu()) for name in self.columns}
        order = np.lexsort([values for values in reversed(columns.values()) if values.ndim == 1])
        return {name: values[order] for name, values in columns.items()}


class ImageRecords(SampleRecords):
    """Each evaluated image's `index`, `target` and `prediction` (integers), `probability` of the predicted class, and `loss`."""

    def __init__(self, num_classes: int) -> None:
        integer, real = (torch.int64, ()), (torch.float32, ())
        super().__init__(index=integer, target=integer, prediction=integer, probability=real, loss=real)
        self.num_classes = num_classes

    def counts(self) -> Counts:
        """Return the counts of all batches on all ranks."""
        rows = self.compute()
        index, loss = rows.pop("index"), rows.pop("loss")
        matrices = image_matrices(rows["target"], rows["prediction"], self.num_classes)
        confusion = matrices.sum(axis=0).reshape(self.num_classes + 1, -1)
        return Counts(confusion, index, matrices, loss, np.ones_like(index), Predictions(**rows))


class MaskRecords(SampleRecords):
    """Each evaluated mask's `index`, `loss` (the sum over its pixels with truth), and `matrices`, see `confusion_matrices`."""

    def __init__(self, num_classes: int, num_predicted: int | None = None) -> None:
        shape = num_classes + 1, (num_predicted or num_classes) + 1
        # A frame has fewer than 2³¹ pixels, and half the bytes travel between ranks.
        super().__init__(index=(torch.int64, ()), loss=(torch.float64, ()), matrices=(torch.int32, shape))

    def counts(self) -> Counts:
        """Return the counts of all batches on all ranks."""
        from scipy.sparse import csr_array

        rows = self.compute()
        dense = rows["matrices"].astype(np.int64)
        weight = dense[:, :-1].sum((1, 2))
        with np.errstate(invalid="ignore"):
            loss = rows["loss"] / weight
        matrices = csr_array(dense.reshape(len(dense), dense.shape[1] * dense.shape[2]))
        return Counts(dense.sum(0), rows["index"], matrices, loss, weight)
