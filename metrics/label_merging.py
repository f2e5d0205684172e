"""Coarser matrices from finer ones: classes are summed up, so that every level is counted once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def fold(confusion: Tensor, mapping: Sequence[int], num_coarse: int) -> Tensor:
    """The matrix that counting with coarser classes would have given.

    Args:
        confusion: (..., C+1, C+1) counts, rows truth, columns predictions, void last.
        mapping: the coarse class 0..K of each of the C classes; K, void, for those that have none. Void stays void.
        num_coarse: K, the number of coarse classes without void.

    Returns:
        (..., K+1, K+1) counts of the same type, on the same device.

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
    """Sum up counts along one dimension only: -2 for what is true, -1 for what was predicted; the rest is as in `fold`."""
    to = torch.tensor([*mapping, num_coarse], device=counts.device)
    shape = list(counts.shape)
    shape[dim] = num_coarse + 1
    return counts.new_zeros(shape).index_add_(dim, to, counts)


def merge_samples(matrices: "csr_array", rows: Sequence[int], columns: Sequence[int]) -> "csr_array":
    """Sum up counts along both dimensions, each by a mapping of its own, for sparse matrices.

    Args:
        matrices: (N, R·Q) counts, a matrix of R rows and Q columns in each row; void last.
        rows: the new row of each of the R, void's being the last of the new ones.
        columns: the new column of each of the Q, likewise.

    Returns:
        (N, R'·Q') counts.
    """
    from scipy.sparse import csr_array

    truth, said = np.divmod(matrices.indices, len(columns))
    width = columns[-1] + 1
    cells = np.asarray(rows)[truth] * width + np.asarray(columns)[said]
    shape = matrices.shape[0], (rows[-1] + 1) * width
    merged = csr_array((matrices.data, cells, matrices.indptr), shape=shape, copy=True)  # summing up writes into them
    merged.sum_duplicates()
    return merged
