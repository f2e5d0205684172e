"""Counting how often each true class was predicted as each class, with void as the last row and column."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Large inputs are counted in pieces, so that the memory beyond the input does not grow with it: a piece is 1 MB as
# int16. Smaller ones mean more hand-overs between threads, which is what costs on a busy machine.
PIECE = 1 << 19


def confusion_matrix(prediction: Tensor, target: Tensor, num_classes: int, num_predicted: int | None = None) -> Tensor:
    """Count how often each true class was predicted as each class: (C+1, P+1) int64, rows truth, void last.

    Predictions are class indices of any shape and integer type (uint8 is fastest), 0..P, targets of the same shape, 0..C, on
    the same device; C and P are void, P is C unless predictions have another label space. The memory beyond the input is
    constant, also under ``torch.use_deterministic_algorithms``. On an accelerator nothing waits for the device.

    Raises ValueError where shapes differ, a type is not an integer, or (on the CPU) an index is outside its range; on an
    accelerator such an element is left out of the counts, and `ConfusionMatrix.compute` raises the error.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction has shape {tuple(prediction.shape)}, target {tuple(target.shape)}; they must match"
        )
    for name, values in (("prediction", prediction), ("target", target)):
        if values.is_floating_point() or values.is_complex():
            raise ValueError(f"{name} has type {values.dtype}; class indices are integers (take the argmax first)")
    prediction, target = prediction.detach().flatten(), target.detach().flatten()
    count = count_on_cpu if prediction.device.type == "cpu" else count_without_waiting
    return count(prediction, target, num_classes, num_predicted or num_classes)


def _pieces(prediction: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, target.numel(), PIECE):
        yield prediction[start : start + PIECE], target[start : start + PIECE]


def count_on_cpu(prediction: Tensor, target: Tensor, num_classes: int, num_predicted: int) -> Tensor:
    """Count with bincount, which is fastest on a CPU; on a GPU it would wait twice for its own bounds."""
    # An index that is too high would be counted as another pair of classes.
    for name, values, classes in (("prediction", prediction, num_predicted), ("target", target, num_classes)):
        low, high = torch.aminmax(values) if len(values) else (0, 0)
        if low < 0 or high > classes:
            raise ValueError(
                f"{name} holds the index {low if low < 0 else high}; {classes} classes have the indices "
                f"0..{classes - 1}, and {classes} is void"
            )
    rows, columns = num_classes + 1, num_predicted + 1
    cells = rows * columns
    # Neighbouring pixels mostly fall into the same cell, where each increment waits for the one before it.
    # Counting neighbours in separate tables is half again as fast, as long as their cells fit into 16 bits.
    index_type = torch.int16 if cells <= torch.iinfo(torch.int16).max else torch.int64
    tables = min(8, max(1, torch.iinfo(torch.int16).max // cells))
    table_of = (torch.arange(tables) * cells).to(index_type)
    table_of = table_of.repeat(512)  # in two steps, because copying short rows is slow
    table_of = table_of.repeat(-(-min(PIECE, target.numel()) // len(table_of)))
    counts = torch.zeros(tables * cells, dtype=torch.int64)
    for predicted, true in _pieces(prediction, target):
        cell = torch.add(table_of[: len(true)], true.to(index_type), alpha=columns)
        cell += predicted.to(index_type)
        counts += torch.bincount(cell, minlength=tables * cells)
    return counts.view(tables, rows, columns).sum(0)


def count_without_waiting(prediction: Tensor, target: Tensor, num_classes: int, num_predicted: int) -> Tensor:
    """Count as on an accelerator: shapes do not depend on the data, and elements out of range go to a cell that is dropped."""
    rows, columns = num_classes + 1, num_predicted + 1
    counts = torch.zeros(rows * columns + 1, dtype=torch.int64, device=target.device)
    one = torch.ones((), dtype=torch.int64, device=target.device)
    for predicted, true in _pieces(prediction, target):
        valid = (predicted >= 0) & (predicted <= num_predicted) & (true >= 0) & (true <= num_classes)
        cell = torch.where(valid, true.to(torch.int64) * columns + predicted, rows * columns)
        counts.scatter_add_(0, cell, one.expand_as(cell))
    return counts[:-1].view(rows, columns)


def confusion_matrices(
    prediction: Tensor, target: Tensor, num_classes: int, num_predicted: int | None = None
) -> Tensor:
    """Count each sample of a batch separately: (B, ...) indices as of `confusion_matrix` -> (B, C+1, P+1) int64."""
    if not len(target):
        shape = 0, num_classes + 1, (num_predicted or num_classes) + 1
        return torch.zeros(shape, dtype=torch.int64, device=target.device)
    pairs = zip(prediction, target, strict=True)
    return torch.stack([confusion_matrix(one, true, num_classes, num_predicted) for one, true in pairs])


def image_matrices(target: np.ndarray, prediction: np.ndarray, num_classes: int) -> "csr_array":
    """Return each of N classified images, of indices in 0..C, as a confusion matrix.

    They are (N, (C+1)²) sparse counts; the column is truth · (C+1) + prediction.
    """
    from scipy.sparse import csr_array

    cells = target.astype(np.int64) * (num_classes + 1) + prediction
    ones = np.ones(len(cells), dtype=np.int64)
    return csr_array((ones, cells, np.arange(len(cells) + 1)), shape=(len(cells), (num_classes + 1) ** 2))
