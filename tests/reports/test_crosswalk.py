import pytest
import torch
from scipy.sparse import csr_array

from label_spaces.catalogue import load
from label_spaces.crosswalk import find
from reports.crosswalk import crosswalk_levels, crosswalk_report, crosswalk_summary

WALK = find(load("voc21"), load("idd_level3"))


def counted(**pixels):
    """Counts of idd_level3's truth by voc21's classes: car__bus=3 are three cars predicted as bus."""
    counts = torch.zeros(27, 22, dtype=torch.int64)
    for cell, number in pixels.items():
        truth, predicted = (name.replace("_", " ") for name in cell.split("__"))
        counts[WALK.target.classes.index(truth), WALK.source.classes.index(predicted)] = number
    return counts


def test_the_field_by_hand():
    found = crosswalk_report(
        counted(car__car=6, car__bus=2, bus__bus=2, road__background=7, road__car=3, rider__person=5), WALK
    )
    assert list(found)[:5] == ["from", "full", "partly", "shared", "no"]
    assert found["expressible_share"] == pytest.approx(10 / 25)
    assert found["miou_expressible"] == pytest.approx((6 / 11 + 2 / 4 + 0) / 3)  # riders are false positives of person
    assert found["miou_closed"] == pytest.approx((6 / 8 + 2 / 4) / 2)
    assert found["instead"] == {"road": {"background": 0.7, "car": 0.3}, "rider": {"person": 1.0}}
    assert crosswalk_summary(found, 26) == (
        "This model can express 6 of 26 classes; its mIoU over those is 0.348; "
        "60 % of the pixels have classes it cannot express."
    )
    assert "is 0.348 [0.250, 0.471]; 60 %" in crosswalk_summary(found, 26, [0.25, 0.471])


def test_each_level_is_remapped_by_itself():
    counts = counted(car__car=6, autorickshaw__car=2, rider__person=4, truck__background=8)
    found = crosswalk_levels(counts, csr_array(counts.flatten()[None].numpy()), WALK)
    assert set(found) == {"idd_level2", "idd_level1"}
    assert found["idd_level2"]["miou"] == pytest.approx((1 + 0 + 0 + 0) / 4)  # cars, large vehicles, riders, persons
    assert found["idd_level2"]["crossing"]["full"] == ["two-wheeler"]
    assert found["idd_level2"]["crossing"]["instead"] == {"rider": {"person": 1.0}}
    assert found["idd_level1"]["miou"] == pytest.approx((1 + 8 / 16) / 2)  # the driver is a living thing now
    assert found["idd_level1"]["crossing"]["expressible_share"] == 1


def test_without_any_truth_there_is_a_summary_too():
    found = crosswalk_report(counted(), WALK)
    assert crosswalk_summary(found, 26) == (
        "This model can express 6 of 26 classes; its mIoU over those is undefined; no pixel has a class."
    )
