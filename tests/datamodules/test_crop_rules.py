"""The rules of object crops, against values worked out by hand."""

import numpy as np
import pytest

from datamodules.crop_rules import (
    Box,
    CropRules,
    bounding_box,
    crop_boxes,
    lacking,
    overlap,
    ridden,
    square,
    usable_objects,
    visible_share,
)
from datamodules.files.idd_polygons import AnnotatedObject, Annotation
from datamodules.splits.sample_table import Sample, SampleTable


def rectangle(left, top, right, bottom):
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)


def frame(*things, size=(200, 300)):
    objects = tuple(AnnotatedObject(i, label, rectangle(*box)) for i, (label, box) in enumerate(things))
    return Annotation(width=size[1], height=size[0], objects=objects)


def names(annotation, **rules):
    return [(thing.label, thing.index) for thing in usable_objects(annotation, CropRules(**rules))]


def test_overlap_is_intersection_over_union():
    assert overlap(Box(0, 0, 10, 10), Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 10, 10), Box(10, 0, 20, 10)) == 0
    assert overlap(Box(0, 0, 10, 10), Box(0, 0, 10, 10)) == 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(100, 80, 140, 120), (97, 77, 46)),  # 40 x 1.15, around the centre
        (Box(0, 80, 40, 120), (0, 77, 46)),  # shifted inside
        (Box(270, 180, 300, 200), (266, 166, 34)),  # round(34.5) is even: 34
        (Box(0, 0, 300, 150), (50, 0, 200)),  # no larger than the frame
    ],
)
def test_the_square_lies_inside_the_frame(box, expected):
    assert square(box, 1.15, (200, 300)) == expected


def test_a_box_ends_at_the_frame():
    assert bounding_box(AnnotatedObject(0, "car", rectangle(-50, 20, 60, 500)), (200, 300)) == Box(0, 20, 60, 200)


def test_visible_share_counts_what_later_polygons_leave():
    annotation = frame(
        ("car", (0, 0, 99, 99)), ("bus", (50, 0, 99, 99)), ("sky", (0, 0, 99, 9)), ("car", (400, 0, 450, 50))
    )
    share = visible_share(annotation, [0, 1, 3])
    # 100 x 100 pixels, less 50 columns, less 10 rows of the other half.
    assert share[0] == pytest.approx(0.45)
    assert share[1] == pytest.approx(0.9)
    assert share[3] == 0  # beyond the frame


def test_an_object_needs_its_short_side_and_half_of_itself():
    assert names(frame(("car", (10, 10, 42, 90)), ("car", (100, 10, 131, 90)))) == [("car", 0)]
    half = ("road", (0, 0, 59, 300))
    assert names(frame(("car", (20, 20, 99, 99)), half)) == [("car", 0)]
    assert names(frame(("car", (20, 20, 99, 99)), ("road", (0, 0, 60, 300)))) == []


def test_the_short_side_is_measured_within_the_frame():
    assert names(frame(("car", (-40, 20, 31, 99)))) == []
    assert names(frame(("car", (-40, 20, 32, 99)))) == [("car", 0)]


def test_two_truths_for_one_crop_are_both_left_out():
    pair = [("motorcycle", (20, 60, 99, 159)), ("rider", (20, 30, 99, 105))]  # 45 of 129 rows are shared: 0.35
    assert names(frame(*pair)) == [("motorcycle", 0), ("rider", 1)]
    close = [("motorcycle", (20, 50, 99, 129)), ("rider", (20, 30, 99, 85))]
    assert names(frame(*close), most_overlap=0.36, least_visible=0.0) == [("motorcycle", 0), ("rider", 1)]
    assert names(frame(*close), most_overlap=0.35, least_visible=0.0) == []
    assert names(frame(("car", (20, 30, 99, 99)), ("car", (25, 30, 104, 99))), least_visible=0.0) == [
        ("car", 0),
        ("car", 1),
    ]


# A motorcycle with two riders, a bicycle that nobody rides, a rider of nothing in the frame, and a person beside.
STREET = [
    ("motorcycle", (20, 60, 99, 139)), ("rider", (30, 20, 89, 119)), ("rider", (40, 30, 119, 99)),
    ("bicycle", (150, 60, 199, 139)), ("rider", (230, 60, 289, 139)), ("person", (100, 100, 139, 179)),
]  # fmt: skip


def test_a_rider_rides_what_its_box_agrees_best_with():
    assert ridden(frame(*STREET)) == {1: 0, 2: 0}
    two = [("bicycle", (0, 0, 50, 50)), ("rider", (30, 0, 80, 50)), ("motorcycle", (40, 0, 90, 50))]
    assert ridden(frame(*two)) == {1: 2}
    grazed = [("bicycle", (0, 0, 50, 50)), ("rider", (45, 0, 95, 50))]  # 5 of 95 columns are shared
    assert ridden(frame(*grazed)) == {}
    assert ridden(frame(("rider", (0, 0, 50, 50)), ("car", (0, 0, 50, 50)))) == {}


@pytest.mark.parametrize(
    ("riders", "expected", "motorcycle"),
    [
        ("separate", ["motorcycle 0", "rider 1", "rider 2", "bicycle 3", "rider 4", "person 5"], (20, 60, 99, 139)),
        ("merge", ["motorcycle 0", "bicycle 3", "person 5"], (20, 20, 119, 139)),
        ("drop", ["motorcycle 0", "bicycle 3", "person 5"], (20, 60, 99, 139)),
    ],
)
def test_riders_are_crops_or_part_of_their_two_wheelers_or_nothing(riders, expected, motorcycle):
    found = names(frame(*STREET), riders=riders, least_visible=0.0, most_overlap=1.0)
    assert [f"{label} {index}" for label, index in found] == expected
    assert crop_boxes(frame(*STREET), riders)[0] == Box(*motorcycle)


def test_a_merged_object_is_seen_as_one():
    pair = [("motorcycle", (20, 60, 99, 139)), ("rider", (20, 20, 99, 119))]  # 20 rows of the motorcycle show: 0.25
    assert names(frame(*pair), most_overlap=1.0) == [("rider", 1)]
    assert names(frame(*pair), riders="drop") == []
    assert names(frame(*pair), riders="merge") == [("motorcycle", 0)]
    assert visible_share(frame(*pair), [0], {1: 0}) == {0: 1.0}
    # A wall between the two covers the motorcycle, and one after both the lowest 30 of their 120 rows.
    between = [pair[0], ("wall", (0, 60, 300, 199)), pair[1]]
    assert visible_share(frame(*between), [0], {2: 0})[0] == pytest.approx(100 / 120)
    assert visible_share(frame(*pair, ("wall", (0, 110, 300, 199))), [0], {1: 0})[0] == pytest.approx(90 / 120)
    # What else is in the frame is counted as ever.
    seen = visible_share(frame(*pair, ("car", (60, 0, 139, 199))), [0, 2], {1: 0})
    assert seen == {0: pytest.approx(0.5), 2: 1.0}


def test_merged_riders_repeat_nobodys_box():
    close = [("motorcycle", (20, 30, 99, 129)), ("rider", (20, 20, 99, 85))]
    assert names(frame(*close), least_visible=0.0, most_overlap=0.5) == []
    assert names(frame(*close), least_visible=0.0, most_overlap=0.5, riders="merge") == [("motorcycle", 0)]


def test_stuff_fallbacks_and_groups_are_no_crops():
    labels = ("road", "billboard", "vehicle fallback", "persongroup", "pole", "person")
    things = [(label, (10 + 40 * i, 10, 45 + 40 * i, 90)) for i, label in enumerate(labels)]
    assert names(frame(*things)) == [("person", 5)]


def table(**counts):
    samples = []
    for target, (train, drives, val, test) in counts.items():
        for split, count in (("train", train), ("val", val), ("test", test)):
            samples += [Sample(f"{target}/{split}/{i}", f"{split}{i % drives}", target, split) for i in range(count)]
    return SampleTable(samples)


def test_a_class_needs_enough_objects_from_enough_drives():
    splits = table(
        car=(50, 5, 10, 10), bus=(49, 5, 10, 10), truck=(80, 4, 10, 10), rider=(50, 9, 9, 30), animal=(50, 5, 30, 9)
    )
    assert sorted(lacking(splits, CropRules())) == ["animal", "bus", "rider", "truck"]
    assert lacking(splits, CropRules())["truck"] == "80 in train from 4 drives, 10 in val, 10 in test"
    assert lacking(splits, CropRules(train=49, train_groups=4, evaluation=9)) == {}
