"""Confusion matrices in other classes, by summing up rows or columns: each evaluation is counted once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def fold(confusion: Tensor, mapping: Sequence[int], num_coarse: int) -> Tensor:
    """Return the (..., K+1, K+1) counts that counting with K coarser classes would have given.

    Args:
        confusion: (..., C+1, C+1) counts, rows truth, columns predictions, void last.
        mapping: the coarse class 0..K of each of the C classes; K, void, for those that have none. Void stays void.
        num_coarse: K, without void.

    Raises:
        ValueError: the mapping has not C entries, or one outside 0..K.
    """
    if len(mapping) != confusion.shape[-1] - 1 or confusion.shape[-1] != confusion.shape[-2]:
        raise ValueError(
            f"a mapping of {len(mapping)} classes cannot fold a matrix of shape {tuple(confusion.shape)}; it has void last"
        )
    if not all(0 <= coarse <= num_coarse for coarse in mapping):
        raise ValueError(f"the mapping {list(mapping)} has an entry outside 0..{num_coarse} ({num_coarse} is void)")
    return merge(merge(confusion, mapping, num_coarse, -2), mapping, num_coarse, -1)


def merge(counts: Tensor, mapping: Sequence[int], num_coarse: int, dim: int) -> Tensor:
    """Sum up counts along one dimension only: -2 for truth, -1 for predictions; the rest is as in `fold`."""
    to = torch.tensor([*mapping, num_coarse], device=counts.device)
    shape = list(counts.shape)
    shape[dim] = num_coarse + 1
    return counts.new_zeros(shape).index_add_(dim, to, counts)


def remap(confusion: Tensor, mapping: Sequence[int]) -> Tensor:
    """Return (..., T+1, T+1) counts for (..., T+1, S+1) counts whose predictions are in S other, source, classes.

    The mapping has the target class, or T for void, of each source class.
    """
    return merge(confusion, mapping, confusion.shape[-2] - 1, -1)


def remap_samples(matrices: "csr_array", mapping: Sequence[int]) -> "csr_array":
    """Like `remap`, for sparse matrices in rows: (N, (T+1)·(S+1)) counts -> (N, (T+1)²)."""
    void = matrices.shape[1] // (len(mapping) + 1) - 1
    return merge_samples(matrices, range(void + 1), [*mapping, void])


def merge_samples(matrices: "csr_array", rows: Sequence[int], columns: Sequence[int]) -> "csr_array":
    """Sum up sparse counts along both dimensions, each with its own mapping: (N, R·Q) -> (N, R'·Q') counts.

    Args:
        matrices: a matrix of R rows and Q columns in each row; void last.
        rows: the new row of each of the R; that of void is the last of the R' new ones.
        columns: the new column of each of the Q, likewise.
    """
    from scipy.sparse import csr_array

    truth, prediction = np.divmod(matrices.indices, len(columns))
    width = columns[-1] + 1
    cells = np.asarray(rows)[truth] * width + np.asarray(columns)[prediction]
    shape = matrices.shape[0], (rows[-1] + 1) * width
    merged = csr_array((matrices.data, cells, matrices.indptr), shape=shape, copy=True)  # summing up writes into them
    merged.sum_duplicates()
    return merged
