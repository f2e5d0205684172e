import math
import time

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.sparse import csr_array

from label_spaces.catalogue import load
from label_spaces.crosswalk import Crosswalk, Link, find
from label_spaces.space import LabelSpace
from metrics.counting import confusion_matrix
from metrics.counts import Counts, remap
from metrics.intervals import jackknife_intervals
from metrics.safe_iou import tree_distance
from reports.crosswalk import crosswalk_levels, crosswalk_report
from reports.intervals import crosswalk_intervals, few_groups, pixel_intervals
from reports.pixels import pixel_scores

# Predicted: background (everything else), people (persons and riders), auto and van (both car).
TOY = Crosswalk(
    LabelSpace("theirs", ("background", "people", "auto", "van")),
    LabelSpace("ours", ("person", "rider", "car", "tree")),
    (Link(rest=True), Link((0, 1)), Link((2,)), Link((2,))),
    (0, 1, 2, 3),
)
EXPRESSIBLE = (0, 2)
COUNTS_AS = {1: 0, 2: 2, 3: 2}
TRUE_IN_COMMON, PREDICTED_IN_COMMON = dict(enumerate(("living", "living", "car", "else"))), dict(enumerate(("else", "living", "car", "car")))  # fmt: skip


def drives_of(seed, number=9):
    """(number, 5, 5) counts of drives of which one is empty, one without truth, and one the only one that has cars."""
    draws = np.random.default_rng(seed)
    counts = draws.poisson(draws.gamma(0.5, 40, (number, 5, 5)))
    counts[:, 2] *= np.arange(number)[:, None] == 3
    counts[:, :, 2:4] *= np.arange(number)[:, None, None] == 3
    counts[5] = 0
    counts[6, :4] = 0
    return counts


def ious(cells, classes):
    """By class the pixels that are both true and predicted over those that are either; none where there is neither."""
    found = {}
    for name in classes:
        either = sum(n for truth, predicted, n in cells if name in (truth, predicted))
        if either:
            found[name] = sum(n for truth, predicted, n in cells if truth == predicted == name) / either
    return found


def by_hand(counts):
    """The IoUs that each mean is over, cell by cell, and the number of pixels whose class can be expressed, and of all."""
    cells = [(truth, predicted, int(n)) for truth, row in enumerate(counts[:4]) for predicted, n in enumerate(row)]
    remapped = [(truth, COUNTS_AS.get(predicted), n) for truth, predicted, n in cells]
    closed = [cell for cell in remapped if cell[0] in EXPRESSIBLE]
    common = [(TRUE_IN_COMMON[truth], PREDICTED_IN_COMMON.get(predicted), n) for truth, predicted, n in cells]
    means = {
        "miou_expressible": ious(remapped, EXPRESSIBLE),
        "miou_closed": ious(closed, EXPRESSIBLE),
        "miou_common": ious(common, ("living", "car", "else")),
    }
    return means, sum(n for *_, n in closed), sum(n for *_, n in cells)


def naive_intervals(drives):
    """The textbook: leave out each drive, cross and score the rest over the classes of the whole."""
    drives = [drive for drive in drives if drive[:4].sum()]
    sizes = [int(drive[:4].sum()) for drive in drives]
    effective = sum(sizes) ** 2 / sum(size**2 for size in sizes)
    quantile = stats.t.ppf(0.975, effective - 1)
    whole, expressible, total = by_hand(sum(drives))
    rests = [by_hand(sum(drives) - drive) for drive in drives]

    def variance(score, without):
        return (len(drives) - 1) / len(drives) * math.fsum((value - score) ** 2 for value in without)

    found = {}
    for name, known in whole.items():
        score = sum(known.values()) / len(known)
        without = [sum(means[name].get(c, 0) for c in known) / len(known) for means, *_ in rests]
        reach = quantile * math.sqrt(variance(score, without))
        found[name] = [max(0, score - reach), min(1, score + reach)]
    share = expressible / total
    number = share * (1 - share) / variance(share, [part / of for _, part, of in rests])
    # Wilson's: where the share is just as far from p as p's own standard error times the quantile.
    a, b, c = 1 + quantile**2 / number, 2 * share + quantile**2 / number, share**2
    root = math.sqrt(b**2 - 4 * a * c)
    return found | {"expressible_share": [(b - root) / (2 * a), (b + root) / (2 * a)]}


def sparse(drives):
    return csr_array(drives.reshape(len(drives), -1))


@pytest.mark.parametrize("seed", range(6))
def test_intervals_equal_leaving_drives_out_one_by_one(seed):
    drives = drives_of(seed)
    found = crosswalk_intervals(sparse(drives), TOY)
    expected = naive_intervals(drives)
    assert set(found) == set(expected)
    for name, interval in expected.items():
        assert found[name] == pytest.approx(interval, rel=1e-9), name
        low, high = found[name]
        assert low < crosswalk_report(torch.from_numpy(drives.sum(0)), TOY)[name] < high


def test_what_is_undefined_has_no_interval():
    drives = drives_of(0)
    assert set(crosswalk_intervals(sparse(drives[:1]), TOY).values()) == {None}
    void = drives[5:7]  # drives without truth are none
    assert set(crosswalk_intervals(sparse(void), TOY).values()) == {None}
    # No source class has a counterpart: nothing can be expressed, nothing is common.
    silent = Crosswalk(TOY.source, TOY.target, (Link(), Link(), Link(), Link()), TOY.class_of)
    found = crosswalk_intervals(sparse(drives), silent)
    low, high = found.pop("expressible_share")
    assert low == 0 < high < 1
    assert found == {"miou_expressible": None, "miou_closed": None, "miou_common": None}


def test_hundreds_of_drives_are_quick():
    draws = np.random.default_rng(0)
    drives = draws.poisson(300, (400, 27, 22)) * (draws.random((400, 27, 22)) < 0.2)
    rows = sparse(drives)
    walk = find(load("voc21"), load("idd_level3"))
    crosswalk_intervals(rows[:3], walk)
    start = time.process_time()
    crosswalk_intervals(rows, walk)
    assert time.process_time() - start < 0.5


LEVEL3 = load("idd_level3")


def masks_of_drives(seed, number=7, side=400):
    """Truths and predictions (number, side) in level 3's classes, void among them; each drive has a few classes."""
    draws = np.random.default_rng(seed)
    some = [draws.choice(27, 6) for _ in range(number)]
    truth = np.stack([draws.choice(each, side) for each in some])
    other = np.stack([draws.choice(each, side) for each in some])
    return truth, np.where(draws.random((number, side)) < 0.6, truth, other)


def matrices(prediction, truth, *classes):
    pairs = zip(prediction, truth, strict=True)
    return np.stack([confusion_matrix(*map(torch.from_numpy, pair), *classes).numpy() for pair in pairs])


@pytest.mark.parametrize("seed", range(3))
def test_a_levels_intervals_are_those_of_masks_of_its_classes(seed):
    truth, predicted = masks_of_drives(seed)
    counted = matrices(predicted, truth, 26)
    weight = counted[:, :26].sum((1, 2))
    counts = Counts(counted.sum(0), np.arange(7), sparse(counted), np.ones(7), weight)
    found = pixel_scores(counts, LEVEL3, np.arange(7), None)["levels"]
    assert set(found) == {"idd_level2", "idd_level1"}
    for name, level in found.items():
        intervals = level["intervals"]
        count = load(name).num_classes
        table = np.array([*LEVEL3.levels[name], count])
        coarse = jackknife_intervals(sparse(matrices(table[predicted], table[truth], count)))
        assert intervals == {score: pytest.approx(interval) for score, interval in coarse.items()}


def test_a_remapped_levels_intervals_are_those_of_masks_of_its_classes():
    walk = find(load("voc21"), LEVEL3)
    truth, _ = masks_of_drives(0)
    predicted = np.random.default_rng(1).integers(0, 22, truth.shape)
    counted = matrices(predicted, truth, 26, 21)
    found = crosswalk_levels(torch.from_numpy(counted.sum(0)), sparse(counted), walk)
    for name, level in found.items():
        intervals = level["intervals"]
        there = walk.at_level(name)
        table = np.array([*LEVEL3.levels[name], there.target.void])
        drives = matrices(predicted, table[truth], there.target.num_classes, 21)
        remapped = remap(torch.from_numpy(drives), there.mapping).numpy()
        expected = jackknife_intervals(sparse(remapped)) | crosswalk_intervals(sparse(drives), there)
        assert intervals == {score: interval and pytest.approx(interval) for score, interval in expected.items()}
        assert "miou_expressible" in intervals


def naive_safe_miou(matrix, classes):
    """Pixel by pixel of a matrix: a confusion of an important class costs its distance beside the plain error."""
    distance, chosen, values = tree_distance(list(LEVEL3.levels.values())), LEVEL3.important, []
    for c in classes:
        union = matrix[c].sum() + matrix[:26, c].sum() - matrix[c, c]
        cost = sum(float(distance[c, s]) * matrix[c, s] for s in range(26)) if c in chosen else 0
        values.append((matrix[c, c] - cost) / union if union else 0)
    return sum(values) / len(values)


@pytest.mark.parametrize("right", [True, False])
def test_safe_miou_has_an_interval_too(right):
    truth, predicted = masks_of_drives(3)
    drives = matrices(predicted if right else (truth + 11) % 26, truth, 26)
    whole = drives.sum(0)
    classes = [c for c in range(26) if whole[c].sum() + whole[:26, c].sum()]
    score = naive_safe_miou(whole, classes)
    assert bool(score > 0) is right  # it is below 0 where important classes are taken for ones that are far from them
    rests = [naive_safe_miou(whole - drive, classes) for drive in drives]
    sizes = drives[:, :26].sum((1, 2))
    quantile = stats.t.ppf(0.975, sizes.sum() ** 2 / (sizes**2).sum() - 1)
    reach = quantile * math.sqrt(6 / 7 * sum((rest - score) ** 2 for rest in rests))
    found = pixel_intervals(sparse(drives), LEVEL3)
    assert found["safe_miou"] == pytest.approx([max(-1, score - reach), min(1, score + reach)])
    assert found["miou"] == jackknife_intervals(sparse(drives))["miou"]
    assert "safe_miou" not in pixel_intervals(sparse(drives[:, :8, :8]), load("idd_lite"))


def test_classes_of_fewer_than_ten_drives_are_flagged():
    space = LabelSpace("toy", ("red", "green", "blue"))
    drives = np.zeros((12, 4, 4), dtype=np.int64)
    drives[:, 0, 0] = 10  # red is in all 12 drives
    drives[:9, 1, 1] = 10  # green in 9
    drives[0, 2, 2] = 5000  # blue in one, however large it is there
    assert few_groups(sparse(drives), space) == {"green": 9, "blue": 1}
    drives[9, 1, 0] = 1  # and missed in a tenth
    drives[:, 2, 2] = 0  # what is nowhere has no score that could be doubted
    assert few_groups(sparse(drives), space) == {}
