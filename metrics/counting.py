"""Counting how often each true class was predicted as each class, with void as the last row and column."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[np.integer]

# Large inputs are counted in pieces, so that the memory beyond the input does not grow with it: a piece is 1 MB as
# int16. Smaller ones mean more hand-overs between threads, which is what costs on a busy machine.
PIECE = 1 << 19
SHORT = 8  # mean length of runs of equal pairs up to which counting them takes longer than counting every pair
NO_FLOAT64 = frozenset({"mps"})  # kinds of devices without it: what must be exact is computed on the CPU
BYTES = 256  # classes, void included, whose indices fit into uint8


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
    device, predicted = prediction.device, num_predicted or num_classes
    prediction, target = prediction.detach().flatten(), target.detach().flatten()
    if device.type == "cpu" or device.type in NO_FLOAT64:  # Apple's scatter_add_ has no int64 on every macOS
        return count_on_cpu(prediction.cpu(), target.cpu(), num_classes, predicted).to(device)
    return count_without_waiting(prediction, target, num_classes, predicted)


def _pieces(prediction: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, target.numel(), PIECE):
        yield prediction[start : start + PIECE], target[start : start + PIECE]


def _runs(prediction: Array, target: Array) -> tuple[Array, Array, NDArray[np.int64] | None]:
    """Return the first pair of each run of equal ones, and the lengths of the runs; every pair where runs are short."""
    changes = prediction[1:] != prediction[:-1]
    changes |= target[1:] != target[:-1]
    if SHORT * np.count_nonzero(changes) >= len(target):
        return prediction, target, None
    starts = np.append(0, np.flatnonzero(changes) + 1)
    return prediction[starts], target[starts], np.diff(starts, append=len(target))


def count_on_cpu(prediction: Tensor, target: Tensor, num_classes: int, num_predicted: int) -> Tensor:
    """Count runs of equal pairs, of which masks consist, each with its length; single pairs where runs are short."""
    shape = num_classes + 1, num_predicted + 1
    counts = np.zeros(shape, dtype=np.int64)
    for piece in _pieces(prediction, target):
        predicted, true, lengths = _runs(*map(np.asarray, piece))
        # An index that is too high would be counted as another pair of classes, or not at all.
        for name, values, classes in (("prediction", predicted, num_predicted), ("target", true, num_classes)):
            if (low := values.min()) < 0 or (high := values.max()) > classes:
                raise ValueError(
                    f"{name} holds the index {low if low < 0 else high}; {classes} classes have the indices "
                    f"0..{classes - 1}, and {classes} is void"
                )
        if lengths is None and max(shape) <= BYTES:  # a piece's counts are exact in float32
            pair = true.astype(np.uint8, copy=False), predicted.astype(np.uint8, copy=False)
            counts += cv2.calcHist(pair, [0, 1], None, shape, [0, shape[0], 0, shape[1]]).astype(np.int64)
        else:
            cell = true.astype(np.int64) * shape[1] + predicted.astype(np.int64)
            counts += np.bincount(cell, lengths, minlength=counts.size).astype(np.int64).reshape(shape)
    return torch.from_numpy(counts)


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
