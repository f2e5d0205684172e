"""What an evaluation of masks knows about each sample, gathered over batches and ranks."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from metrics.confusion import confusion_matrix


def confusion_matrices(
    prediction: Tensor, target: Tensor, num_classes: int, num_predicted: int | None = None
) -> Tensor:
    """Count each sample of a batch by itself.

    Args:
        prediction: (B, ...) integer class indices, 0..P; P is void.
        target: the true indices, 0..C, of the same shape.
        num_classes: C, the number of classes without void.
        num_predicted: P, the number of classes that are predicted; None: C.

    Returns:
        (B, C+1, P+1) int64 counts on the inputs' device.
    """
    if not len(target):
        columns = (num_classes if num_predicted is None else num_predicted) + 1
        return torch.zeros(0, num_classes + 1, columns, dtype=torch.int64, device=target.device)
    return torch.stack(
        [
            confusion_matrix(guess, true, num_classes, num_predicted)
            for guess, true in zip(prediction, target, strict=True)
        ]
    )


class PixelRecords(Metric):
    """Keep the confusion matrix and the loss of each evaluated sample.

    A sample that was counted twice has two rows; whoever needs to know compares the number of rows with the
    number of different indices.

    Args:
        num_classes: C, the number of classes without void.
        num_predicted: P, the number of classes that are predicted; None: C.
    """

    full_state_update = False
    is_differentiable = False
    index: Any
    matrix: Any
    loss: Any

    def __init__(self, num_classes: int, num_predicted: int | None = None) -> None:
        super().__init__()
        self.rows, self.columns = num_classes + 1, (num_classes if num_predicted is None else num_predicted) + 1
        for name in ("index", "matrix", "loss"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, index: Tensor, matrices: Tensor, loss: Tensor) -> None:
        """Add a batch.

        Args:
            index: (B,) integer, the samples' positions in the table.
            matrices: (B, C+1, P+1) int64 counts, see `confusion_matrices`.
            loss: (B,) float, the sum of each sample's loss over its pixels with truth.
        """
        self.index.append(index.detach().to(torch.int64))
        # A frame has fewer than 2³¹ pixels, and half the bytes travel between ranks.
        self.matrix.append(matrices.flatten(1).to(torch.int32))
        self.loss.append(loss.detach().to(torch.float64))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the rows of all ranks."""
        # A rank without a batch takes part with empty ones; torchmetrics' own would have the wrong type.
        if isinstance(self.index, list) and not self.index:
            empty = torch.zeros(0, self.rows, self.columns, dtype=torch.int64, device=self.device)
            self.update(torch.empty(0, device=self.device), empty, torch.empty(0, device=self.device))
        super().sync(*args, **kwargs)

    def compute(self) -> dict[str, Any]:
        """All rows, sorted by index: the same in whatever order and on whichever rank they were added.

        Returns:
            ``index`` (N,) int64; ``matrices``, (N, (C+1)·(P+1)) scipy csr of int64 counts; ``loss`` (N,) float64, the mean over
            a sample's pixels with truth (nan where there are none), and ``weight`` (N,), the number of these pixels.
        """
        from scipy.sparse import csr_array

        cells = self.rows * self.columns
        if isinstance(self.index, list) and not self.index:
            index, dense, loss = np.empty(0, np.int64), np.empty((0, cells), np.int64), np.empty(0)
        else:
            index, dense, loss = (
                np.asarray(dim_zero_cat(state).cpu()) for state in (self.index, self.matrix, self.loss)
            )
        order = np.argsort(index, kind="stable")
        dense = dense[order].astype(np.int64)
        weight = dense.reshape(-1, self.rows, self.columns)[:, :-1].sum((1, 2))
        with np.errstate(invalid="ignore"):
            mean = loss[order] / weight
        return {"index": index[order], "matrices": csr_array(dense), "loss": mean, "weight": weight}
