import itertools
import sys
import time

import numpy as np
import pytest
from scipy import stats

from benchmarks.comparing import STATISTICS, Streets, apart, repeat
from metrics.class_sums import class_scores, mean_scores
from metrics.comparison import (
    Difference,
    Statistics,
    compare_recipes,
    compare_runs,
    holm,
    holm_over_pairs,
    recipe_scores,
)

MEAN_IOU = STATISTICS.means.index("miou")
MEANS = Statistics(("miou", "accuracy"), ("iou",))


def drives(number=6, num_classes=3, runs=2, seed=0, spread=0.1, effects=None):
    """(G, 3, C) sums of runs over the same drives; how much is found varies by drive, and by run and drive."""
    draws = np.random.default_rng(seed)
    true = draws.integers(20, 200, (number, num_classes))
    shared = draws.beta(6, 3, (number, num_classes))
    found = []
    for effect in effects if effects is not None else np.zeros(runs):
        hits = draws.binomial(true, (shared + effect + draws.normal(0, spread, true.shape)).clip(0, 1))
        missed = true - hits
        predicted = hits + np.roll(missed, 1, axis=1)  # what is missed is taken for the next class
        found.append(np.stack([hits, true, predicted], axis=1).astype(float))
    return found


def miou(sums):
    return float(mean_scores(sums.sum(0))["miou"])


def test_the_difference_leaves_out_one_drive_after_the_other():
    first, second = drives(9)
    found = compare_runs(first, second, MEANS)[0]
    value = miou(first) - miou(second)
    rests = [miou(np.delete(first, g, 0)) - miou(np.delete(second, g, 0)) for g in range(9)]
    error = np.sqrt(8 / 9 * ((np.array(rests) - value) ** 2).sum())
    sizes = first[:, 1].sum(1)
    degrees = sizes.sum() ** 2 / (sizes**2).sum() - 1
    reach = stats.t.ppf(0.975, degrees) * error
    assert found.value == pytest.approx(value)
    assert found.interval == pytest.approx((value - reach, value + reach))
    assert found.detectable == pytest.approx((stats.t.ppf(0.975, degrees) + stats.t.ppf(0.9, degrees)) * error)


def swapped_ways(first, second):
    """The runs for each way to swap whole drives."""
    for swap in itertools.product([False, True], repeat=len(first)):
        chosen = np.array(swap)[:, None, None]
        yield np.where(chosen, second, first), np.where(chosen, first, second)


def test_p_is_the_share_of_swaps_with_a_difference_as_large():
    first, second = drives(7, seed=3)
    value = abs(miou(first) - miou(second))
    larger = [abs(miou(one) - miou(other)) >= value - 1e-12 for one, other in swapped_ways(first, second)]
    assert compare_runs(first, second, MEANS)[0].p == pytest.approx(np.mean(larger))


def test_p_of_classes_is_step_down_max_t():
    first, second = drives(7, num_classes=4, seed=5)
    differences = np.array([class_scores(a.sum(0), "iou") - class_scores(b.sum(0), "iou") for a, b in swapped_ways(first, second)])  # fmt: skip
    t = np.abs(differences / np.sqrt((differences**2).mean(0)))
    order = np.argsort(-t[0])  # the first way swaps nothing
    expected, least = np.empty(4), 0.0
    for place, name in enumerate(order):  # the textbook: the largest of those that are not yet decided
        least = max(least, (t[:, order[place:]].max(1) >= t[0, name] - 1e-12).mean())
        expected[name] = least
    found = [each.p for each in compare_runs(first, second, MEANS)[2:]]
    assert found == pytest.approx(expected)


def test_many_drives_are_swapped_at_random_as_a_t_test_expects():
    first, second = drives(60, seed=1)
    found = compare_runs(first, second, MEANS)[1]
    ratio = found.value / ((found.interval[1] - found.value) / stats.t.ppf(0.975, 50))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(ratio), 50), abs=0.02)
    assert compare_runs(first, second, MEANS)[1] == found  # the same each time


def test_equal_runs_do_not_differ():
    first, _ = drives()
    for each in compare_runs(first, first, MEANS):
        assert (each.value, each.interval, each.p, each.verdict) == (0, (0, 0), 1, "no difference")
        assert each.detectable is None


def test_what_is_undefined_is_none():
    first, second = drives(8)
    absent = [np.concatenate([each, np.zeros((8, 3, 1))], axis=2) for each in (first, second)]
    found = compare_runs(*absent, MEANS)
    assert found[0] == compare_runs(first, second, MEANS)[0]
    assert (found[-1].value, found[-1].interval, found[-1].p, found[-1].verdict) == (None, None, None, "undefined")
    alone = compare_runs(first[:1], second[:1], MEANS)[0]
    assert alone.value is not None
    assert (alone.interval, alone.p, alone.verdict) == (None, None, "undefined")


def test_a_drive_without_truth_changes_nothing():
    first, second = drives(8)
    empty = [np.concatenate([each, np.zeros((1, 3, 3))]) for each in (first, second)]
    assert compare_runs(*empty, MEANS) == compare_runs(first, second, MEANS)


def test_verdicts():
    def verdict(value=0.1, p=0.01, seeds=None):
        return Difference("miou", None, value, (0, 0.2), p, 0.1, seeds).verdict

    assert verdict() == "better"
    assert verdict(-0.1) == "worse"
    assert verdict(p=0.06) == "no difference"
    assert verdict(None) == verdict(p=None) == "undefined"
    assert verdict(seeds=(5, 4)) == verdict(p=None, seeds=(3, 3)) == "cannot be told apart"
    assert verdict(seeds=(5, 5)) == "better"


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.9, float("nan")]) == [1.0, None, 1.0, None]
    pairs = [[Difference("miou", None, 0.1, None, p, None)] for p in (0.02, 0.03, 0.5)]
    assert [pair[0].p for pair in holm_over_pairs(pairs)] == pytest.approx([0.06, 0.06, 0.5])


def test_recipes_cross_seeds_and_drives():
    first, second = (drives(12, runs=5, seed=2, effects=np.random.default_rng(i).normal(0, 0.03, 5)) for i in (1, 2))
    found = compare_recipes(first, second, MEANS)[0]
    scores = [np.array([miou(run) for run in side]) for side in (first, second)]
    without = [np.array([[miou(np.delete(run, g, 0)) for g in range(12)] for run in side]) for side in (first, second)]

    def jackknife(full, rests):
        return 11 / 12 * ((rests - full) ** 2).sum()

    value = scores[0].mean() - scores[1].mean()
    of_drives = jackknife(value, without[0].mean(0) - without[1].mean(0))
    of_seeds = sum(each.var(ddof=1) / 5 for each in scores)
    both = sum(
        jackknife(full[s] - full.mean(), rests[s] - rests.mean(0)) / 4 / 5
        for full, rests in zip(scores, without, strict=True)
        for s in range(5)
    )
    assert of_seeds > both
    error = np.sqrt(of_drives + of_seeds - both)
    assert found.value == pytest.approx(value)
    low, high = found.interval
    reach = (high - low) / 2
    degrees = 8  # about: those of ten seeds on two sides, less what the drives' many add
    assert stats.t.ppf(0.975, 30) * error < reach < stats.t.ppf(0.975, degrees / 2) * error
    assert found.p == pytest.approx(2 * stats.t.sf(abs(value) / error, degrees), abs=0.1)


def test_few_seeds_cannot_tell_recipes_apart_whatever_their_means_are():
    first, second = (drives(12, seed=2, effects=effects) for effects in (np.zeros(4), np.full(4, -0.3)))
    found = compare_recipes(first, second, MEANS)[0]
    assert found.value > 0.1
    assert (found.p, found.verdict) == (None, "cannot be told apart")
    assert found.interval is not None
    assert compare_recipes(first[:1], second, MEANS)[0].interval is None  # one seed has no variance
    enough = (drives(12, seed=2, effects=effects) for effects in (np.zeros(5), np.full(5, -0.3)))
    assert compare_recipes(*enough, MEANS)[0].verdict == "better"


def test_the_score_of_a_recipe():
    runs = drives(12, runs=3, seed=4)
    found = recipe_scores(runs, MEANS)[0]
    assert found.value == pytest.approx(np.mean([miou(run) for run in runs]))
    assert found.interval[0] < found.value < found.interval[1]


def test_ten_thousand_samples_are_compared_quickly():
    first, second = drives(10_000, num_classes=12, seed=8)
    start = time.process_time()
    found = compare_runs(first, second, MEANS)[1]  # each sample is a drive of its own
    assert time.process_time() - start < 5
    error = (found.interval[1] - found.value) / 1.96
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.value) / error), abs=0.02)


def test_no_torch_is_needed():
    import subprocess

    code = "import sys, metrics.comparison, metrics.class_sums; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_intervals_and_claims_where_frames_resemble_each_other():
    # benchmarks/RESULTS.md has the figures of a thousand repeats, and of real drives.
    draws = np.random.default_rng(0)
    streets = Streets(np.geomspace(1, 0.3, 6), 30, np.zeros((2, 6)))
    outcome = repeat(lambda: streets.draw(draws), streets.truth, 100)
    assert all(each >= 0.90 for each in outcome.coverage)
    assert all(each <= 1.3 for each in outcome.width)  # a hundred repeats know the oracle within 7 %
    assert all(each <= 0.10 for each in outcome.claimed)
    assert outcome.classes <= 0.09


@pytest.mark.slow
def test_differences_of_three_standard_errors_are_seen():
    draws = np.random.default_rng(0)
    streets = apart(Streets(np.full(6, 0.8), 60, np.zeros((2, 6))), draws, 300)
    outcome = repeat(lambda: streets.draw(draws), streets.truth, 300)
    assert outcome.claimed[MEAN_IOU] >= 0.85
    assert all(0.90 <= each <= 0.99 for each in outcome.coverage)


@pytest.mark.slow
def test_seeds_of_one_recipe_are_rarely_claimed_to_differ():
    draws = np.random.default_rng(0)
    streets = Streets(np.full(6, 0.8), 40, np.zeros((2, 6)), seeds=5, spread=0.01)
    outcome = repeat(lambda: streets.draw(draws), streets.truth, 300)
    assert all(each <= 0.09 for each in outcome.claimed)
    assert all(0.90 <= each <= 0.99 for each in outcome.coverage)


def test_the_score_of_perfect_runs_has_an_interval():
    sums = drives(runs=1)[0]
    sums = sums[0] if isinstance(sums, list) else sums
    sums[:, 0] = sums[:, 2] = sums[:, 1]
    for runs in ([sums], [sums, sums]):
        (found,) = recipe_scores(runs, Statistics(("miou",), ()))
        assert (found.value, found.interval) == (1.0, (1.0, 1.0))
