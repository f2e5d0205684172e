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
from reports.crossing import crossed_levels, crossing, crossing_intervals, in_a_sentence

WALK = find(load("voc21"), load("idd_level3"))


def counted(**pixels):
    """Counts of idd_level3's truth by voc21's words: said("car", "bus", 3) as car__bus=3."""
    counts = torch.zeros(27, 22, dtype=torch.int64)
    for cell, number in pixels.items():
        truth, said = (name.replace("_", " ") for name in cell.split("__"))
        counts[WALK.target.index(truth), WALK.source.index(said)] = number
    return counts


def test_the_field_by_hand():
    found = crossing(
        counted(car__car=6, car__bus=2, bus__bus=2, road__background=7, road__car=3, rider__person=5), WALK
    )
    assert list(found)[:5] == ["from", "full", "partly", "shared", "no"]
    assert found["expressible_share"] == pytest.approx(10 / 25)
    assert found["miou_expressible"] == pytest.approx((6 / 11 + 2 / 4 + 0) / 3)  # riders are persons that are not there
    assert found["miou_closed"] == pytest.approx((6 / 8 + 2 / 4) / 2)
    assert found["instead"] == {"road": {"background": 0.7, "car": 0.3}, "rider": {"person": 1.0}}
    assert in_a_sentence(found, 26) == (
        "This model can say 6 of 26 classes; over those its mIoU is 0.348; "
        "60 % of the pixels belong to classes it has no word for."
    )
    assert "its mIoU is 0.348 [0.250, 0.471]; 60 %" in in_a_sentence(found, 26, [0.25, 0.471])


def test_levels_are_crossed_anew():
    found = crossed_levels(counted(car__car=6, autorickshaw__car=2, rider__person=4, truck__background=8), WALK)
    assert set(found) == {"idd_level2", "idd_level1"}
    assert found["idd_level2"]["miou"] == pytest.approx((1 + 0 + 0 + 0) / 4)  # cars, large vehicles, riders, persons
    assert found["idd_level2"]["crossing"]["full"] == ["two-wheeler"]
    assert found["idd_level2"]["crossing"]["instead"] == {"rider": {"person": 1.0}}
    assert found["idd_level1"]["miou"] == pytest.approx((1 + 8 / 16) / 2)  # the driver is a living thing now
    assert found["idd_level1"]["crossing"]["expressible_share"] == 1


def test_nothing_to_say_is_said():
    found = crossing(counted(), WALK)
    assert in_a_sentence(found, 26) == (
        "This model can say 6 of 26 classes; over those its mIoU is undefined; no pixel has a class."
    )


# Said: background (everything else), people (persons and riders), auto and van (both car).
TOY = Crosswalk(
    LabelSpace("theirs", ("background", "people", "auto", "van")),
    LabelSpace("ours", ("person", "rider", "car", "tree")),
    (Link(rest=True), Link((0, 1)), Link((2,)), Link((2,))),
    (0, 1, 2, 3),
)
CAN_SAY = (0, 2)
COUNTS_AS = {1: 0, 2: 2, 3: 2}
TRUE_IN_COMMON, SAID_IN_COMMON = dict(enumerate(("living", "living", "car", "else"))), dict(enumerate(("else", "living", "car", "car")))  # fmt: skip


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
    """By class the pixels that are both true and said over those that are either; none where there is neither."""
    found = {}
    for name in classes:
        either = sum(n for truth, said, n in cells if name in (truth, said))
        if either:
            found[name] = sum(n for truth, said, n in cells if truth == said == name) / either
    return found


def by_hand(counts):
    """The IoUs that each mean is over, cell by cell, and the pixels that can be said, of how many."""
    cells = [(truth, said, int(n)) for truth, row in enumerate(counts[:4]) for said, n in enumerate(row)]
    crossed = [(truth, COUNTS_AS.get(said), n) for truth, said, n in cells]
    closed = [cell for cell in crossed if cell[0] in CAN_SAY]
    common = [(TRUE_IN_COMMON[truth], SAID_IN_COMMON.get(said), n) for truth, said, n in cells]
    means = {
        "miou_expressible": ious(crossed, CAN_SAY),
        "miou_closed": ious(closed, CAN_SAY),
        "miou_common": ious(common, ("living", "car", "else")),
    }
    return means, sum(n for *_, n in closed), sum(n for *_, n in cells)


def naive_intervals(drives):
    """The textbook: leave out each drive, cross and score the rest over the classes of the whole."""
    drives = [drive for drive in drives if drive[:4].sum()]
    sizes = [int(drive[:4].sum()) for drive in drives]
    effective = sum(sizes) ** 2 / sum(size**2 for size in sizes)
    quantile = stats.t.ppf(0.975, effective - 1)
    whole, can_say, total = by_hand(sum(drives))
    rests = [by_hand(sum(drives) - drive) for drive in drives]

    def variance(score, without):
        return (len(drives) - 1) / len(drives) * math.fsum((value - score) ** 2 for value in without)

    found = {}
    for name, known in whole.items():
        score = sum(known.values()) / len(known)
        without = [sum(means[name].get(c, 0) for c in known) / len(known) for means, *_ in rests]
        reach = quantile * math.sqrt(variance(score, without))
        found[name] = [max(0, score - reach), min(1, score + reach)]
    share = can_say / total
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
    found = crossing_intervals(torch.from_numpy(drives.sum(0)), sparse(drives), TOY)
    expected = naive_intervals(drives)
    assert set(found) == set(expected)
    for name, interval in expected.items():
        assert found[name] == pytest.approx(interval, rel=1e-9), name
        low, high = found[name]
        assert low < crossing(torch.from_numpy(drives.sum(0)), TOY)[name] < high


def test_what_is_undefined_has_no_interval():
    drives = drives_of(0)
    assert set(crossing_intervals(torch.from_numpy(drives[0]), sparse(drives[:1]), TOY).values()) == {None}
    void = drives[5:7]  # drives without truth are none
    assert set(crossing_intervals(torch.from_numpy(void.sum(0)), sparse(void), TOY).values()) == {None}
    # No word means anything that the truth knows: nothing can be said, nothing is common.
    silent = Crosswalk(TOY.source, TOY.target, (Link(), Link(), Link(), Link()), TOY.class_of)
    found = crossing_intervals(torch.from_numpy(drives.sum(0)), sparse(drives), silent)
    low, high = found.pop("expressible_share")
    assert low == 0 < high < 1
    assert found == {"miou_expressible": None, "miou_closed": None, "miou_common": None}


def test_hundreds_of_drives_are_quick():
    draws = np.random.default_rng(0)
    drives = draws.poisson(300, (400, 27, 22)) * (draws.random((400, 27, 22)) < 0.2)
    total, rows = torch.from_numpy(drives.sum(0)), sparse(drives)
    crossing_intervals(total, rows[:3], WALK)
    start = time.perf_counter()
    crossing_intervals(total, rows, WALK)
    assert time.perf_counter() - start < 0.5
