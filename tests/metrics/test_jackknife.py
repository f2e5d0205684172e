import numpy as np
import pytest
from scipy import stats

from metrics.jackknife import effective, mean_interval, t_quantile, variance


def test_the_variance_of_a_mean_is_the_textbooks():
    values = np.random.default_rng(0).normal(size=(12, 3))
    without = (values.sum(0) - values) / 11
    assert variance(values.mean(0), without) == pytest.approx(values.var(0, ddof=1) / 12)


def test_effective_numbers_of_groups():
    assert effective(np.full(7, 3.0)) == pytest.approx(7)
    assert effective(np.array([10.0, 0, 0])) == 1
    assert effective(np.array([2.0, 1.0]), np.array([2, 3])) == pytest.approx(7**2 / 11)
    assert effective(np.zeros(4)) == 0


def test_quantiles_are_scipys():
    assert t_quantile(3.5) == pytest.approx(stats.t.ppf(0.975, 3.5))
    assert t_quantile(8, 0.9) == pytest.approx(stats.t.ppf(0.9, 8))


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_of_a_mean_over_samples_leaves_out_one_group_after_the_other(seed):
    draws = np.random.default_rng(seed)
    groups = draws.integers(0, 8, 60)
    values = (draws.normal(0.5, 0.1, 8)[groups] + draws.normal(0, 0.05, 60)).clip(0, 1)
    values[[3, 8, *np.flatnonzero(groups == 5)]] = np.nan
    names = [name for name in range(8) if name != 5]
    rests = [np.nanmean(values[groups != name]) for name in names]
    sizes = np.array([np.isfinite(values[groups == name]).sum() for name in names])
    quantile = stats.t.ppf(0.975, sizes.sum() ** 2 / (sizes**2).sum() - 1)
    reach = quantile * np.sqrt(6 / 7 * np.sum((np.array(rests) - np.nanmean(values)) ** 2))
    expected = [max(0, np.nanmean(values) - reach), min(1, np.nanmean(values) + reach)]
    assert mean_interval(values, groups) == pytest.approx(expected)
    assert mean_interval(values, np.where(groups == 5, "b", "a")) is None  # one group has values
