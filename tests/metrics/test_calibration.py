"""Calibration against a loop over elements, torchmetrics, scikit-learn, values worked out by hand, and simulated drives."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import t
from sklearn.calibration import calibration_curve
from torch.multiprocessing import spawn
from torchmetrics.functional.classification import multiclass_calibration_error

from metrics.calibration import (
    BITS,
    CalibrationSums,
    band_by_pooling,
    boundary_band,
    bundles,
    calibration_error,
    calibration_interval,
    calibration_rows,
)

CLASSES = ("road", "car", "rider")


def drawn(seed=0, samples=6, size=(9, 11), classes=3):
    """Probabilities (B, C, H, W), masks with void, groups and bands."""
    generator = torch.Generator().manual_seed(seed)
    probability = (3 * torch.randn(samples, classes, *size, generator=generator)).softmax(1)
    target = torch.randint(0, classes + 1, (samples, *size), generator=generator, dtype=torch.uint8)
    band = torch.rand(samples, *size, generator=generator) < 0.4
    return probability, target, torch.arange(samples) % 4, band


def counted(probability, target, group, band, mapping=None, classes=3):
    metric = CalibrationSums(int(group.max()) + 1, classes, mapping)
    confidence, prediction = probability.max(1)
    for part in (slice(0, 2), slice(2, 2), slice(2, None)):
        metric.update(confidence[part], prediction[part], target[part], group[part], band[part])
    return metric.compute()


def naive_error(elements):
    """The error of (confidence, right) pairs, by the definition."""
    bins = [[] for _ in range(15)]
    for confidence, right in elements:
        bins[min(int(confidence * 15), 14)].append((confidence, right))
    return sum(
        abs(sum(c for c, _ in each) / len(each) - sum(r for _, r in each) / len(each)) * len(each) / len(elements)
        for each in bins
        if each
    )


@pytest.mark.parametrize("mapping", [None, [1, 3, 1]])
def test_every_row_is_that_of_a_loop_over_elements(mapping):
    probability, target, group, band = drawn()
    elements = []
    for sample in range(len(target)):
        for row, column in np.ndindex(*target.shape[1:]):
            given = probability[sample, :, row, column].tolist()
            confidence = max(given)
            predicted = given.index(confidence)
            predicted = predicted if mapping is None else mapping[predicted]
            true = int(target[sample, row, column])
            if true != 3:
                where = "boundary" if band[sample, row, column] else "interior"
                elements.append((predicted, where, confidence, predicted == true, int(group[sample])))
    rows = calibration_rows(
        counted(probability, target, group, band, mapping), CLASSES, ("all", "boundary", "interior")
    )
    found = {(row["class"], row["region"], row["bin"]): row for row in rows}
    assert len(found) == len(rows)
    expected = set()
    for name in (None, *CLASSES):
        for where in ("all", "boundary", "interior"):
            chosen = [
                each
                for each in elements
                if (name is None or each[0] == CLASSES.index(name)) and where in ("all", each[1])
            ]
            for number in (None, *range(1, 16)):
                part = [each for each in chosen if number in (None, min(int(each[2] * 15), 14) + 1)]
                if not part:
                    continue
                expected.add((name, where, number))
                row = found[name, where, number]
                assert row["count"] == len(part)
                assert row["confidence"] == pytest.approx(np.mean([each[2] for each in part]), abs=1e-6)
                assert row["accuracy"] == np.mean([each[3] for each in part])
            if chosen:
                assert found[name, where, None]["ece"] == pytest.approx(naive_error([each[2:4] for each in chosen]), abs=1e-6)  # fmt: skip
                assert found[name, where, None]["groups"] == len({each[4] for each in chosen})
    assert set(found) == expected
    if mapping:  # its second class is void: wrong, and in the row of all classes only
        assert found[None, "all", None]["count"] > sum(found[name, "all", None]["count"] for name in CLASSES if (name, "all", None) in found)  # fmt: skip


def test_the_error_is_that_of_torchmetrics_and_the_curve_that_of_scikit_learn():
    probability, target, group, band = drawn(1, samples=8)
    rows = calibration_rows(counted(probability, target, group, band), CLASSES, ("all",))
    summary, *bins = [row for row in rows if row["class"] is None]
    theirs = multiclass_calibration_error(probability, target.long(), 3, n_bins=15, norm="l1", ignore_index=3)
    assert summary["ece"] == pytest.approx(float(theirs), abs=1e-6)
    known = target != 3
    confidence, prediction = (each[known].numpy() for each in probability.max(1))
    true, predicted = calibration_curve(prediction == target[known].numpy(), confidence, n_bins=15)
    np.testing.assert_allclose([row["accuracy"] for row in bins], true)
    np.testing.assert_allclose([row["confidence"] for row in bins], predicted, atol=1e-6)


def test_values_worked_out_by_hand():
    # Class 0 with 0.9: 2 of 4 right; with 0.5: 1 of 1. Class 1 with 1.0: 1 of 1. One element has no truth.
    confidence = torch.tensor([0.9, 0.9, 0.9, 0.9, 0.5, 1.0, 0.9])
    prediction, target = torch.tensor([0, 0, 0, 0, 0, 1, 0]), torch.tensor([0, 0, 1, 1, 0, 1, 2])
    metric = CalibrationSums(2, 2)
    metric.update(confidence, prediction, target, torch.tensor([0, 1, 0, 1, 0, 1, 0]), torch.zeros(7, dtype=torch.bool))
    rows = {(row["class"], row["bin"]): row for row in calibration_rows(metric.compute(), ("a", "b"), ("all",))}
    assert rows["a", None]["ece"] == pytest.approx((4 * 0.4 + 1 * 0.5) / 5)
    assert rows["b", None]["ece"] == 0
    assert rows[None, None]["ece"] == pytest.approx((4 * 0.4 + 1 * 0.5) / 6)
    assert [(key, row["count"]) for key, row in rows.items()] == [
        ((None, None), 6), ((None, 8), 1), ((None, 14), 4), ((None, 15), 1), (("a", None), 5), (("a", 8), 1), (("a", 14), 4), (("b", None), 1), (("b", 15), 1),
    ]  # fmt: skip
    assert rows["b", None]["ece_low"] is None  # one group only
    assert (rows["a", None]["groups"], rows["b", None]["groups"]) == (2, 1)


@pytest.mark.parametrize("opposite", [True, False])
def test_the_interval_is_that_of_leaving_out_each_drive(opposite):
    sums = drives(np.random.default_rng(2), 12, 0, 0.4)
    if opposite:  # of two halves of the bins one is over-confident
        sums[:, 1, :11] = sums[:, 0, :11] - sums[:, 1, :11]
    empty = np.concatenate([sums, np.zeros((3, 3, 15), int)])  # drives without such predictions count for nothing
    found = calibration_interval(empty)

    def errors(part):
        count, right, total = part.sum(0)
        gaps = [total[i] / 2**BITS / count[i] - right[i] / count[i] for i in range(15) if count[i]]
        shares = [count[i] / count.sum() for i in range(15) if count[i]]
        return sum(abs(g) * w for g, w in zip(gaps, shares, strict=True)), sum(g * w for g, w in zip(gaps, shares, strict=True))  # fmt: skip

    full = errors(sums)
    parts = [errors(np.delete(sums, left_out, axis=0)) for left_out in range(12)]
    own, signed = (11 / 12 * sum((part[i] - full[i]) ** 2 for part in parts) for i in range(2))
    assert (own > 1.1 * signed, signed > 1.1 * own) == (opposite, not opposite)
    sizes = sums[:, 0].sum(1)
    number = sizes.sum() ** 2 / (sizes**2).sum()
    reach = t.ppf(0.975, number - 1) * math.sqrt(max(own, signed))
    assert found == pytest.approx((full[0], max(0, full[0] - reach), min(1, full[0] + reach), 12))


def test_what_is_not_finite_stays_in_the_table():
    metric = CalibrationSums(1, 2)
    zero = torch.zeros(2, dtype=torch.int64)
    metric.update(torch.tensor([torch.nan, 1.0]), zero, zero, zero, zero.bool())
    assert metric.compute()[0, 0, 0, 1].tolist() == [1, *[0] * 13, 1]


def naive_band(mask, width):
    height, length = mask.shape
    band = np.zeros(mask.shape, bool)
    for row, column in np.ndindex(height, length):
        near = mask[max(0, row - width) : row + width + 1, max(0, column - width) : column + width + 1]
        band[row, column] = (near != mask[row, column]).any()
    return band


@pytest.mark.parametrize("band", [boundary_band, band_by_pooling])
def test_the_band_has_the_pixels_near_another_class(band):
    masks = np.zeros((3, 20, 23), np.uint8)
    masks[0, 8:, 11:] = 1
    masks[1, 5, 5] = 255  # a single pixel of void
    expected = np.stack([naive_band(mask, 3) for mask in masks])
    np.testing.assert_array_equal(band(torch.from_numpy(masks)).numpy(), expected)
    assert expected[1].sum() == 49
    assert not expected[2].any()  # the image's edge is no boundary
    np.testing.assert_array_equal(
        band(torch.from_numpy(masks), 1).numpy(), np.stack([naive_band(mask, 1) for mask in masks])
    )
    assert band(torch.zeros(0, 4, 5, dtype=torch.uint8)).shape == (0, 4, 5)


def test_groups_are_numbered_and_many_are_bundled():
    assert bundles(["b", "a", "b", "c"]).tolist() == [1, 0, 1, 2]
    assert bundles([f"{number:03}" for number in range(300)]).tolist() == [*range(256), *range(44)]


def count_on_rank(rank, folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    probability, target, group, band = drawn(3)
    metric = CalibrationSums(4, 3)
    for sample in range(rank, len(target) - 1, 2):  # one has more than the other
        part = slice(sample, sample + 1)
        confidence, prediction = probability[part].max(1)
        metric.update(confidence, prediction, target[part], group[part], band[part])
    np.save(f"{folder}/{rank}.npy", metric.compute())
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_count_as_one(tmp_path):
    spawn(count_on_rank, (str(tmp_path),), nprocs=2)
    probability, target, group, band = (each[:-1] for each in drawn(3))
    expected = counted(probability, target, group, band)
    for rank in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"{rank}.npy"), expected)


def drives(rng, number, excess, spread):
    """Sums of drives of 1 to many elements, right with a probability of confidence - excess + the drive's own."""
    sums = np.zeros((number, 3, 15), np.int64)
    for drive, size in enumerate(rng.geometric(1 / 300, number)):
        confidence = rng.beta(6, 2, size)
        right = rng.random(size) < confidence - excess + spread * rng.normal()
        bins = np.minimum((confidence * 15).astype(int), 14)
        for kind, weight in enumerate((np.ones(size), right, np.rint(confidence * 2**BITS))):
            sums[drive, kind] = np.bincount(bins, weight, 15)
    return sums


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "excess", "widest"), [(15, 0.15, 1.3), (60, 0, 1.3), (60, 0.05, 1.15), (180, 0, 1.3)]
)
def test_the_interval_covers_the_error_of_all_drives(number, excess, widest):
    spread = 0.35  # whether two elements of a drive are right then correlates by 0.3
    rng = np.random.default_rng(5)
    true = float(calibration_error(drives(rng, 4000, excess, spread).sum(0)))
    found = [calibration_interval(drives(rng, number, excess, spread)) for _ in range(300)]
    assert 0.9 <= np.mean([each.low <= true <= each.high for each in found]) <= 0.995
    oracle = 2 * 1.96 * np.std([each.error for each in found])
    assert np.mean([each.high - each.low for each in found]) <= widest * oracle
