"""The delete-one-group jackknife on plain arrays: variances, effective numbers of groups, quantiles of t. Needs no torch."""

import numpy as np

LEVEL = 0.95  # the share of intervals that should hold the true value


def variance(full: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Return the jackknife's variance of statistics.

    Args:
        full: (...) statistics of all G groups together.
        without: (G, ...) the same with each group left out.
    """
    number = len(without)
    return np.asarray((number - 1) / number * ((without - full) ** 2).sum(0))


def effective(sizes: np.ndarray, repeats: np.ndarray | None = None) -> float:
    """Return Kish's effective number of groups of these sizes, each repeated so many times; 0 where all are empty."""
    repeats = np.ones(len(sizes)) if repeats is None else repeats
    squares = float(repeats @ sizes**2)
    return float(repeats @ sizes) ** 2 / squares if squares else 0.0


def t_quantile(degrees_of_freedom: float, share: float = (1 + LEVEL) / 2) -> float:
    """Return the value that a t-distributed number is below with the probability `share`."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, share))


def mean_interval(values: np.ndarray, groups: np.ndarray) -> list[float] | None:
    """Return the jackknife's interval of the mean of (N,) values in 0–1, nan where a sample has none.

    It is `[low, high]` within 0–1; None where fewer than two of the (N,) samples' groups have values.
    """
    known = ~np.isnan(values)
    names, group = np.unique(groups[known], return_inverse=True)
    if len(names) < 2:
        return None
    sums, sizes = np.bincount(group, values[known]), np.bincount(group).astype(np.float64)
    score = sums.sum() / sizes.sum()
    rests = (sums.sum() - sums) / (sizes.sum() - sizes)
    reach = t_quantile(effective(sizes) - 1) * float(variance(score, rests)) ** 0.5
    return [max(0.0, float(score) - reach), min(1.0, float(score) + reach)]
