"""The ground's bands and what stands along the road, in metres."""

from itertools import pairwise

import numpy as np
import pytest

from datamodules.synthetic.geometry import Palette, Shape
from datamodules.synthetic.street import FAR, Road, Thing, ground, roadside, scenery

ROAD = Road(-3.0, 5.0, travel=4.0)


def palette(seed: int) -> Palette:
    return Palette(np.random.default_rng(seed))


def test_a_thing_moves_by_its_speed_each_frame():
    assert Thing("car", Shape(), 1.0, 20.0, 0.0, speed=(0.5, -2.0)).at(3) == (2.5, 0.0, 14.0)


def test_the_road_has_two_edges_and_oncoming_traffic_beyond_its_middle():
    assert ROAD.edges == ((-1.0, -3.0), (1.0, 5.0))
    assert ROAD.middle == 1.5
    for seed in range(20):
        x = ROAD.beside(palette(seed))
        assert -4.6 <= x <= -3.3 or 5.3 <= x <= 6.6


def test_the_ground_goes_from_the_widest_band_to_the_road():
    labels = set()
    for seed in range(30):
        strips = ground(palette(seed), ROAD)
        assert strips[0][:2] == ("non-drivable fallback", (-60, 60))
        assert strips[-1][:2] == ("road", (-3, 5))
        labels |= {label for label, _, _ in strips}
        for label, (left, right), _ in strips[1:-1]:
            assert right <= -3 or left >= 5
            width = {"curb": (0.22, 0.22), "sidewalk": (1.0, 2.8), "drivable fallback": (0.8, 2.5)}[label]
            assert width[0] - 1e-9 <= right - left <= width[1] + 1e-9
    assert labels == {"non-drivable fallback", "road", "curb", "sidewalk", "drivable fallback"}


def test_scenery_lines_both_sides_to_the_end_and_stays_off_the_road():
    for seed in range(5):
        things = scenery(palette(seed), ROAD)
        assert all(thing.scenery and thing.speed == (0, 0) for thing in things)
        for side in (-1, 1):
            line = [thing for thing in things if (thing.x - 1) * side > 0 and thing.label != "vegetation"]
            assert max(thing.z for thing in line) > FAR + ROAD.travel - 24  # two gaps of at most 13 m left out
        for thing in things:
            if thing.label == "building":
                points = thing.shape.points
                turned = points[:, 0] * np.cos(thing.heading) + thing.x  # a heading of 0 or half a turn
                assert turned.max() < -3 or turned.min() > 5


def test_signs_and_lights_hang_in_front_of_poles_and_face_the_camera():
    counts = {"traffic sign": set(), "traffic light": set()}
    for seed in range(30):
        things = roadside(palette(seed), ROAD)
        for pole, thing in pairwise(things):
            if thing.label in counts:
                assert (pole.label, pole.x, pole.z) == ("pole", thing.x, thing.z)
                assert thing.shift == 0.3
                assert abs(thing.heading - np.pi) <= 0.7  # towards the camera
        for label, found in counts.items():
            found.add(sum(thing.label == label for thing in things))
        assert sum(thing.label == "billboard" for thing in things) <= 2
    assert counts == {"traffic sign": {1, 2, 3}, "traffic light": {1, 2, 3, 4}}


def test_a_road_that_is_travelled_further_has_its_signs_further_away():
    near, far = (
        np.mean([t.z for seed in range(20) for t in roadside(palette(seed), Road(-3, 5, travel)) if t.shift])
        for travel in (0.0, 10.0)
    )
    assert far - near == pytest.approx(7)
