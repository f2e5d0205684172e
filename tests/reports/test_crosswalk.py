import pytest
import torch

from label_spaces.catalogue import load
from label_spaces.crosswalk import find
from reports.crosswalk import crossed_levels, crossing, in_a_sentence

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
