"""Confidence intervals for scores, with groups of samples (drives) as the unit.

Frames of one drive resemble each other, so leaving out one drive at a time estimates how far a score would move on
other drives: the delete-one-group jackknife, with a t quantile for Kish's effective number of groups - 1.
It is deterministic. Proportions get Wilson's interval on the effective number of elements.
"""

import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from metrics.counts import merge_samples
from metrics.jackknife import LEVEL, effective, t_quantile
from metrics.scores import SCORES, Score, means

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Statistic = Callable[[Tensor], Mapping[str, Tensor]]

_BLOCK = 1 << 21  # matrix cells that are expanded at a time: 16 MB


def sum_by_group(matrices: "csr_array", groups: np.ndarray) -> "csr_array":
    """Sum up (N, cells) sparse counts by the (N,) groups of the samples: (G, cells), in the groups' sorted order."""
    from scipy.sparse import csr_array

    names, group = np.unique(groups, return_inverse=True)
    sample = np.arange(len(group))
    members = csr_array((np.ones(len(group), dtype=np.int64), (group, sample)), shape=(len(names), len(group)))
    return csr_array(members @ matrices)


def groups_with_support(matrices: "csr_array") -> np.ndarray:
    """Return in how many groups each class has truth: (G, (C+1)²) sparse counts -> (C,) int64."""
    side = math.isqrt(matrices.shape[1])
    support = merge_samples(matrices, range(side), [0] * side)
    return np.asarray((support > 0).sum(axis=0)[:-1])


def jackknife_intervals(
    matrices: "csr_array",
    statistic: Statistic | None = None,
    num_rows: int | None = None,
    proportions: Collection[str] = (),
) -> dict[str, list[float] | None]:
    """Return intervals for the scores of all groups together, None where one is undefined or fewer than two groups have truth.

    `matrices` (G, R·Q) are sparse counts, a row per group (`sum_by_group`): R rows of truth, void last, and Q columns, square
    unless `num_rows` (R) is given. `statistic` maps (..., R, Q) float64 counts to (...) per score, each at most 1 and at
    least 0 or what is registered as its lowest; by default `metrics.scores.means` over the classes of the full sample.
    `proportions` are scores that are proportions of elements, beside those registered as such.
    """
    num_rows = num_rows or math.isqrt(matrices.shape[1])
    matrices, repeats = _distinct(matrices, num_rows)
    full = torch.from_numpy((repeats @ matrices).astype(np.float64)).view(num_rows, -1)
    statistic = statistic or partial(means, classes_of=full)
    scores = {name: value.item() for name, value in statistic(full).items()}
    if repeats.sum() < 2:
        return dict.fromkeys(scores)
    variances = _variances(matrices, repeats, full, statistic)
    sizes = _sizes(matrices, num_rows)
    total = float(repeats @ sizes)
    effective_groups = effective(sizes, repeats)
    quantile = t_quantile(effective_groups - 1, (1 + LEVEL) / 2)
    intervals: dict[str, list[float] | None] = {}
    for name, score in scores.items():
        variance, known = variances[name], SCORES.get(name, Score(name, None))
        if math.isnan(score) or math.isnan(variance):
            intervals[name] = None
        elif name in proportions or known.proportion:
            # Without any spread the number cannot be estimated; that of the groups is on the safe side.
            number = min(score * (1 - score) / variance, total) if variance > 0 else effective_groups
            intervals[name] = wilson(score, number, quantile)
        else:
            reach = quantile * math.sqrt(variance)
            intervals[name] = [max(known.lowest, score - reach), min(1.0, score + reach)]
    return intervals


def wilson(proportion: float, number: float, quantile: float) -> list[float]:
    """Return Wilson's interval for a proportion of an effective number of elements, given a normal or t quantile."""
    shrink = 1 + quantile**2 / number
    centre = (proportion + quantile**2 / (2 * number)) / shrink
    reach = quantile / shrink * math.sqrt(proportion * (1 - proportion) / number + quantile**2 / (4 * number**2))
    return [max(0.0, centre - reach), min(1.0, centre + reach)]


def _sizes(matrices: "csr_array", num_rows: int) -> np.ndarray:
    """Return the elements with truth in each group, (G,) float64."""
    num_columns = matrices.shape[1] // num_rows
    return np.asarray(matrices[:, : (num_rows - 1) * num_columns].sum(axis=1), dtype=np.float64)


def _distinct(matrices: "csr_array", num_rows: int) -> tuple["csr_array", np.ndarray]:
    """Leave out groups without truth and merge equal groups of one element: (U, R·Q) counts, (U,) repeats.

    Where each sample is its own group there are only as many different groups as cells of the matrix.
    """
    from scipy.sparse import csr_array, vstack

    matrices = matrices[_sizes(matrices, num_rows) > 0]
    single = matrices.sum(axis=1) == 1
    cells, repeats = np.unique(matrices[single].indices, return_counts=True)
    merged = csr_array(
        (np.ones(len(cells), dtype=np.int64), cells, np.arange(len(cells) + 1)), shape=(len(cells), matrices.shape[1])
    )
    rest = matrices[~single]
    return csr_array(vstack([merged, rest])), np.concatenate([repeats, np.ones(rest.shape[0], dtype=np.int64)])


def _variances(matrices: "csr_array", repeats: np.ndarray, full: Tensor, statistic: Statistic) -> dict[str, float]:
    """Return the variance of each score by the delete-one-group jackknife."""
    number = int(repeats.sum())
    scores = statistic(full)
    variances = dict.fromkeys(scores, 0.0)
    step = max(1, _BLOCK // matrices.shape[1])
    for start in range(0, len(repeats), step):
        block = torch.from_numpy(matrices[start : start + step].toarray()).view(-1, *full.shape)
        weight = torch.from_numpy(repeats[start : start + step]).double() * (number - 1) / number
        for name, values in statistic(full - block).items():
            variances[name] += float((weight * (values - scores[name]) ** 2).sum())
    return variances
