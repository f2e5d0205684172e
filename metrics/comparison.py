"""Whether two evaluations of the same samples differ by more than chance, with the drive as the unit.

Two runs: the interval of the difference is the delete-one-drive jackknife's with a t quantile, as for a run's own scores;
p is the share of ways to swap the two runs' results of whole drives that give a difference as large; of scores per class
it is corrected for the number of classes by step-down max-T over the same swaps (Westfall and Young, 1993).

Two recipes, each a group of runs that differ in their seed: the variance of the difference is that of seeds and drives,
crossed, with Satterthwaite's degrees of freedom. Fewer than five seeds a side cannot tell recipes apart: an exact
permutation test of three a side has no p below 0.10.

An evaluation is (G, 3, C) sums per drive and class (`metrics.class_sums.sums_by_group`), its drives in the same order as the
other's. The results need no torch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrics.class_sums import TRUE, class_scores, mean_scores
from metrics.jackknife import LEVEL, effective, t_quantile, variance

SWAPS = 9_999  # beside the results as they are; with fewer ways to swap all of them are tried
MOST_SWAPPED = 1_000  # samples without drives are swapped in so many bundles where there are more of them
POWER = 0.9  # with which the smallest difference that could have been seen is seen
FEWEST_SEEDS = 5  # a side
_BLOCK = 1 << 21  # numbers at a time: 16 MB
_ROUNDING = 1e-12  # of differences that are equal, in whatever order they are summed


@dataclass(frozen=True)
class Difference:
    """The difference of a score between a first and a second run or recipe.

    Args:
        score: its name.
        class_index: of a score per class; None for a score over all classes.
        value: first minus second; None where one of them is undefined.
        interval: of 95 %; None where it cannot be estimated.
        p: of no difference, corrected for the number of classes and, by `holm`, of pairs; None where it cannot be estimated.
        detectable: the smallest difference that is seen in nine of ten cases.
        seeds: of the recipes, or None where two runs are compared.
    """

    score: str
    class_index: int | None
    value: float | None
    interval: tuple[float, float] | None
    p: float | None
    detectable: float | None
    seeds: tuple[int, int] | None = None

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``no difference``, ``cannot be told apart`` (too few seeds) or ``undefined``, of the first."""
        if self.value is None:
            return "undefined"
        if self.seeds is not None and min(self.seeds) < FEWEST_SEEDS:
            return "cannot be told apart"
        if self.p is None:
            return "undefined"
        if self.p >= 1 - LEVEL:
            return "no difference"
        return "better" if self.value > 0 else "worse"


@dataclass(frozen=True)
class Statistics:
    """The scores that are compared: names of means over classes, and of scores that each class has.

    Those are in `metrics.class_sums.mean_scores` and `PER_CLASS`.
    """

    means: Sequence[str]
    per_class: Sequence[str]

    def of(self, sums: np.ndarray, classes_of: np.ndarray | None = None) -> np.ndarray:
        """Return (..., S) scores of (..., 3, C) sums, the means first, then C columns for each score per class."""
        means = mean_scores(sums, classes_of)
        columns = [means[name][..., None] for name in self.means]
        return np.concatenate([*columns, *(class_scores(sums, name) for name in self.per_class)], axis=-1)

    def labels(self, num_classes: int) -> list[tuple[str, int | None]]:
        """Return the name and the class index of each of the S columns."""
        each = [(name, index) for name in self.per_class for index in range(num_classes)]
        return [*((name, None) for name in self.means), *each]

    def families(self, num_classes: int) -> list[slice]:
        """Return the columns of each score per class."""
        starts = [len(self.means) + i * num_classes for i in range(len(self.per_class))]
        return [slice(start, start + num_classes) for start in starts]


def compare_runs(first: np.ndarray, second: np.ndarray, statistics: Statistics) -> list[Difference]:
    """Compare two runs over the same drives: a difference for each of `statistics.labels`."""
    runs = [_Jackknife(sums, statistics) for sums in (first, second)]
    value = runs[0].full - runs[1].full
    error = np.sqrt(variance(value, runs[0].without - runs[1].without))
    swapped = np.concatenate(list(_swapped(first, second, statistics)))
    p = (np.abs(swapped) >= np.abs(value) - _ROUNDING).mean(0)
    for family in statistics.families(first.shape[-1]):
        p[family] = _max_t(value[family], swapped[:, family])
    return _differences(statistics, first, value, error, runs[0].degrees_of_freedom, p, None)


def compare_recipes(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], statistics: Statistics
) -> list[Difference]:
    """Compare two groups of runs that differ in their seed, over the same drives: a difference for each of the labels.

    The p of scores per class are Holm-corrected. The interval is None where a side has one seed, p also with fewer than five.
    """
    from scipy.special import stdtr

    sides = [[_Jackknife(sums, statistics) for sums in side] for side in (first, second)]
    value, error, degrees = _crossed(sides, (1, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(error > 0, 2 * stdtr(degrees, -np.abs(value) / error), 1.0 * (np.abs(value) <= _ROUNDING))
    for family in statistics.families(first[0].shape[-1]):
        p[family] = [np.nan if each is None else each for each in holm(p[family].tolist())]
    seeds = len(first), len(second)
    if min(seeds) < FEWEST_SEEDS:
        p[:] = np.nan
    if min(seeds) < 2:
        error[:] = np.nan
    return _differences(statistics, first[0], value, error, degrees, p, seeds)


def recipe_scores(runs: Sequence[np.ndarray], statistics: Statistics) -> list[Difference]:
    """Return the mean scores of a group of runs that differ in their seed, with intervals over seeds and drives."""
    side = [_Jackknife(sums, statistics) for sums in runs]
    value, error, degrees = _crossed([side], (1,))
    return _differences(statistics, runs[0], value, error, degrees, np.full(len(value), np.nan), (len(runs), len(runs)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number (Holm, 1979); what is None or nan stays None and is not counted."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None and not np.isnan(p))
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, i) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - rank)))
        corrected[i] = least
    return corrected


def holm_over_pairs(pairs: Sequence[Sequence[Difference]]) -> list[list[Difference]]:
    """Correct the p of each score for the number of pairs that are compared; each pair has the same scores."""
    corrected = [holm([each.p for each in same]) for same in zip(*pairs, strict=True)]
    return [[replace(each, p=p[i]) for each, p in zip(pair, corrected, strict=True)] for i, pair in enumerate(pairs)]


class _Jackknife:
    """The (S,) statistics of one evaluation, (G, S) those without each drive, and the (S,) degrees of freedom."""

    def __init__(self, sums: np.ndarray, statistics: Statistics) -> None:
        sums = sums[sums[:, TRUE].sum(-1) > 0]
        total = sums.sum(0)
        step = max(1, _BLOCK // total.size)
        blocks = [statistics.of(total - sums[i : i + step], total) for i in range(0, len(sums), step)]
        self.full = statistics.of(total)
        self.without = np.concatenate(blocks)
        sizes = [sums[:, TRUE].sum(-1) if index is None else sums[:, TRUE, index] for _, index in statistics.labels(sums.shape[-1])]  # fmt: skip
        self.degrees_of_freedom = np.array([effective(each) - 1 for each in sizes])


def _swapped(first: np.ndarray, second: np.ndarray, statistics: Statistics) -> Iterator[np.ndarray]:
    """Yield blocks of (n, S) differences with drives swapped; of the first block the first row has none swapped."""
    unequal = (first != second).any((1, 2))  # swapping equal results changes nothing
    number = int(unequal.sum())
    middle, half = (first + second).sum(0) / 2, (first - second)[unequal].reshape(number, first[0].size) / 2
    if number > MOST_SWAPPED:
        half, number = np.stack([half[i::MOST_SWAPPED].sum(0) for i in range(MOST_SWAPPED)]), MOST_SWAPPED
    step = max(1, _BLOCK // first[0].size)
    for signs in _signs(number, step):
        moved = (signs @ half).reshape(-1, *first[0].shape)
        yield np.nan_to_num(statistics.of(middle + moved) - statistics.of(middle - moved))


def _signs(number: int, step: int) -> Iterator[np.ndarray]:
    """Yield blocks of (at most `step`, `number`) signs: all that are different but for the sign of a row, or a sample of them."""
    if number <= np.log2(SWAPS + 1) + 1:
        rows = np.arange(2 ** max(0, number - 1))
        bits = rows[:, None] >> np.arange(number) & 1
        yield from np.array_split(1.0 - 2.0 * bits, -(-len(rows) // step))
        return
    draws = np.random.default_rng(0)
    yield np.ones((1, number))
    for start in range(0, SWAPS, step):
        yield draws.integers(0, 2, (min(step, SWAPS - start), number)) * 2.0 - 1


def _max_t(value: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    """Return the step-down max-T p-values of (C,) differences, given (n, C) ones with drives swapped; nan stays nan."""
    spread = np.sqrt((swapped**2).mean(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found, chance = (np.nan_to_num(np.abs(each) / spread, posinf=0) for each in (value, swapped))
    order = np.argsort(-found, kind="stable")
    largest_of_rest = np.maximum.accumulate(chance[:, order[::-1]], axis=1)[:, ::-1]
    shares = (largest_of_rest >= found[order] - _ROUNDING).mean(0)
    p = np.empty(len(value))
    p[order] = np.maximum.accumulate(shares)
    return np.where(np.isnan(value), np.nan, p)


def _crossed(
    sides: Sequence[Sequence[_Jackknife]], weights: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (S,) weighted sums of the sides' means over seeds, their standard errors and degrees of freedom.

    The jackknife over drives holds what seeds and drives do together, and so does the variance of the seeds: it is
    estimated apart and subtracted once.
    """
    full = [np.stack([run.full for run in side]) for side in sides]
    without = [np.stack([run.without for run in side]) for side in sides]
    of_drives = sides[0][0].degrees_of_freedom

    def total(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(sum(weight * each.mean(0) for weight, each in zip(weights, values, strict=True)))

    value = total(full)
    drives = variance(value, total(without))
    seeds, both, doubt = np.zeros_like(drives), np.zeros_like(drives), np.zeros_like(drives)
    for of_full, of_without in zip(full, without, strict=True):
        number = len(of_full)
        if number < 2:
            continue
        own = of_full.var(0, ddof=1) / number
        deviations = zip(of_full - of_full.mean(0), of_without - of_without.mean(0), strict=True)
        shared = np.asarray(sum(variance(*each) for each in deviations)) / (number - 1) / number
        seeds, both = seeds + own, both + shared
        with np.errstate(invalid="ignore", divide="ignore"):
            doubt += own**2 / (number - 1) + shared**2 / of_drives / (number - 1)
    squared = drives + np.maximum(seeds - both, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        degrees = squared**2 / (drives**2 / of_drives + np.where(seeds > both, doubt, 0))
    # Of a sum they are at least the fewest of its parts; a part that is subtracted would leave next to none.
    fewest = min((len(side) - 1.0 for side in sides if len(side) > 1), default=0.0)
    degrees = np.where(squared > 0, np.maximum(degrees, np.minimum(fewest, of_drives)), of_drives)
    return value, np.sqrt(squared), np.nan_to_num(degrees)


def _differences(
    statistics: Statistics, sums: np.ndarray, value: np.ndarray, error: np.ndarray, degrees: np.ndarray, p: np.ndarray, seeds: tuple[int, int] | None,
) -> list[Difference]:  # fmt: skip
    """Return a difference for each statistic, what is nan or cannot be estimated as None."""
    found = []
    for i, (score, index) in enumerate(statistics.labels(sums.shape[-1])):
        known = not np.isnan(value[i]) and not np.isnan(error[i]) and degrees[i] > 0
        reach = t_quantile(degrees[i]) * error[i] if known else 0.0
        found.append(
            Difference(
                score,
                index,
                None if np.isnan(value[i]) else float(value[i]),
                (max(-1.0, float(value[i] - reach)), min(1.0, float(value[i] + reach))) if known else None,
                float(p[i]) if known and not np.isnan(p[i]) else None,
                float(reach + t_quantile(degrees[i], POWER) * error[i]) if known and error[i] > 0 else None,
                seeds,
            )
        )
    return found
