"""Confidence intervals for scores, with groups of samples (drives) as the unit.

Frames of one drive resemble each other, so leaving out one drive at a time says how far a score would move on
other drives: the delete-one-group jackknife, with a t quantile for Kish's effective number of groups - 1.
It is deterministic. Proportions get Wilson's interval on the effective number of elements.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from metrics.scores import means

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Statistic = Callable[[Tensor], Mapping[str, Tensor]]

_PROPORTIONS = frozenset({"accuracy", "void_rate", "expressible_share"})
_SIGNED = frozenset({"safe_miou"})  # in -1–1
_BLOCK = 1 << 21  # matrix cells that are expanded at a time: 16 MB


def sample_matrices(target: np.ndarray, prediction: np.ndarray, num_classes: int) -> "csr_array":
    """Each classified sample as a confusion matrix of its own.

    Args:
        target: (N,) true indices in 0..num_classes.
        prediction: (N,) predicted indices in 0..num_classes.
        num_classes: C; void is C.

    Returns:
        (N, (C+1)²) sparse counts; the column is truth * (C+1) + prediction.
    """
    from scipy.sparse import csr_array

    cells = target.astype(np.int64) * (num_classes + 1) + prediction
    ones = np.ones(len(cells), dtype=np.int64)
    return csr_array((ones, cells, np.arange(len(cells) + 1)), shape=(len(cells), (num_classes + 1) ** 2))


def sum_by_group(matrices: "csr_array", groups: np.ndarray) -> "csr_array":
    """Add up the samples of each group.

    Args:
        matrices: (N, cells) sparse counts, a row per sample.
        groups: (N,) the samples' groups, of any type that can be sorted.

    Returns:
        (G, cells) sparse counts, in the groups' sorted order.
    """
    from scipy.sparse import csr_array

    names, group = np.unique(groups, return_inverse=True)
    sample = np.arange(len(group))
    members = csr_array((np.ones(len(group), dtype=np.int64), (group, sample)), shape=(len(names), len(group)))
    return csr_array(members @ matrices)


def groups_with_support(matrices: "csr_array") -> np.ndarray:
    """In how many groups each class has truth: (G, (C+1)²) sparse counts -> (C,) int64."""
    side = math.isqrt(matrices.shape[1])
    group, cell = matrices.nonzero()
    held = np.unique(np.stack([group, cell // side]), axis=1)
    return np.bincount(held[1], minlength=side)[:-1]


def jackknife_intervals(
    matrices: "csr_array", statistic: Statistic | None = None, level: float = 0.95, num_rows: int | None = None
) -> dict[str, list[float] | None]:
    """Intervals for the scores of all groups together.

    Args:
        matrices: (G, R·Q) sparse counts, a row per group (`sum_by_group`); each is a matrix of R rows of truth, void
            last, and Q columns.
        statistic: (..., R, Q) float64 counts -> (...) per score, each in 0–1 (Safe mIoU in -1–1); by default the scores of
            `metrics.scores.means` over the classes of the full sample.
        level: the share of such intervals that should hold the true value.
        num_rows: R; by default the matrices are square.

    Returns:
        `[low, high]` within these bounds per score; None where the score is undefined or fewer than two groups have truth.
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
    effective_groups = _effective(sizes, repeats)
    quantile = _t_quantile(level, effective_groups - 1)
    intervals: dict[str, list[float] | None] = {}
    for name, score in scores.items():
        variance = variances[name]
        if math.isnan(score) or math.isnan(variance):
            intervals[name] = None
        elif name in _PROPORTIONS:
            # Without any spread there is nothing to learn it from; the groups themselves are the safe number.
            number = min(score * (1 - score) / variance, total) if variance > 0 else effective_groups
            intervals[name] = wilson(score, number, quantile)
        else:
            reach, least = quantile * math.sqrt(variance), -1.0 if name in _SIGNED else 0.0
            intervals[name] = [max(least, score - reach), min(1.0, score + reach)]
    return intervals


def mean_interval(values: np.ndarray, groups: np.ndarray, level: float = 0.95) -> list[float] | None:
    """The interval of a mean over samples, such as of each one's own mIoU, by the same jackknife.

    Args:
        values: (N,) in 0–1, nan where a sample has none.
        groups: (N,) the samples' groups, of any type that can be sorted.
        level: as in `jackknife_intervals`.

    Returns:
        `[low, high]` within 0–1; None where fewer than two groups have values.
    """
    known = ~np.isnan(values)
    names, group = np.unique(groups[known], return_inverse=True)
    number = len(names)
    if number < 2:
        return None
    sums, sizes = np.bincount(group, values[known]), np.bincount(group).astype(np.float64)
    score = float(sums.sum() / sizes.sum())
    rests = (sums.sum() - sums) / (sizes.sum() - sizes)
    variance = (number - 1) / number * float(((rests - score) ** 2).sum())
    reach = _t_quantile(level, _effective(sizes, np.ones(number)) - 1) * math.sqrt(variance)
    return [max(0.0, score - reach), min(1.0, score + reach)]


def wilson(proportion: float, number: float, quantile: float) -> list[float]:
    """Wilson's interval for a proportion.

    Args:
        proportion: what was seen, in 0–1.
        number: the effective number of elements it was seen on, above 0.
        quantile: of the standard normal or t distribution, such as 1.96.
    """
    shrink = 1 + quantile**2 / number
    centre = (proportion + quantile**2 / (2 * number)) / shrink
    reach = quantile / shrink * math.sqrt(proportion * (1 - proportion) / number + quantile**2 / (4 * number**2))
    return [max(0.0, centre - reach), min(1.0, centre + reach)]


def _effective(sizes: np.ndarray, repeats: np.ndarray) -> float:
    """Kish's effective number of groups of these sizes, each there so many times."""
    return float(repeats @ sizes) ** 2 / float(repeats @ sizes**2)


def _t_quantile(level: float, degrees_of_freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, (1 + level) / 2))


def _sizes(matrices: "csr_array", num_rows: int) -> np.ndarray:
    """The elements with truth in each group, (G,) float64."""
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
    """The delete-one-group jackknife's variance of each score."""
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
