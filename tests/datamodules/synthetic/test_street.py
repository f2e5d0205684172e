"""A drive follows its generator; traffic keeps its distances and directions, and riders go with their two-wheelers."""

from collections import Counter

import numpy as np
import pytest

from datamodules.synthetic.geometry import Palette
from datamodules.synthetic.street import KINDS, Drive, Road, traffic

SIZE = (36, 64)
ROAD = Road(-3.0, 5.0, travel=2.0)


def drive(seed: int, frames: int = 3) -> Drive:
    return Drive(np.random.default_rng(seed), SIZE, frames)


def test_the_camera_moves_forwards_in_equal_steps():
    street = drive(0)
    cameras = [street.camera(frame) for frame in range(3)]
    steps = np.diff([camera.z for camera in cameras])
    assert cameras[0].z == 0
    assert steps[0] == pytest.approx(steps[1])
    assert 0.5 <= steps[0] <= 2.2
    assert street.road.travel == pytest.approx(3 * steps[0])
    assert len({camera.height for camera in cameras}) == len({camera.focal for camera in cameras}) == 1
    assert all(camera.centre == 32 and camera.size == SIZE for camera in cameras)


def test_the_horizon_lies_above_the_middle():
    for seed in range(2):
        camera = drive(seed).camera(0)
        assert 0.38 * 36 - 8 < camera.horizon < 0.5 * 36 + 8  # and two rows of pitch, four deviations


def test_the_same_generator_gives_the_same_street():
    first, second, other = drive(1), drive(1), drive(2)
    described = [[(t.label, t.x, t.z, t.heading, t.speed) for t in street.things] for street in (first, second, other)]
    assert described[0] == described[1] != described[2]
    assert (first.strips, first.camera(2)) == (second.strips, second.camera(2))


@pytest.fixture(scope="module")
def streets():
    return [traffic(Palette(np.random.default_rng(seed)), ROAD, step=1.0, count=24) for seed in range(8)]


def test_a_street_has_at_most_as_many_objects_as_requested_of_all_classes(streets):
    counts = Counter(thing.label for street in streets for thing in street)
    assert counts.keys() == {*KINDS, "rider"}
    for street in streets:
        assert 12 <= sum(thing.label != "rider" for thing in street) <= 24


def test_objects_do_not_stand_in_one_another(streets):
    for street in streets:
        placed = []
        for thing in street:
            if thing.label != "rider":
                kind = KINDS[thing.label]
                long, half = kind.half_length, kind.half_width
                cosine, sine = abs(np.cos(thing.heading)), abs(np.sin(thing.heading))
                placed.append((thing.x, thing.z, sine * long + cosine * half, cosine * long + sine * half))
        for i, (x, z, wide, deep) in enumerate(placed):
            assert all(abs(x - a) > wide + c or abs(z - b) > deep + d for a, b, c, d in placed[:i])


def test_objects_keep_their_distance_to_the_camera(streets):
    for street in streets:
        for thing in street:
            if thing.label != "rider":
                assert thing.z >= KINDS[thing.label].nearest + KINDS[thing.label].half_length


def test_riders_share_place_heading_and_speed_with_the_two_wheeler_before_them(streets):
    numbers = Counter()
    for street in streets:
        below, count = None, 0
        for thing in [*street, None]:
            if thing is not None and thing.label == "rider":
                count += 1
                assert (thing.x, thing.z, thing.heading, thing.speed) == (below.x, below.z, below.heading, below.speed)
                assert 0 < thing.shift <= 0.25  # drawn after what they sit on
                continue
            if below is not None:
                numbers[below.label, count] += 1
            below, count = thing, 0
    assert {label for label, count in numbers if count} == {"motorcycle", "bicycle"}
    assert max(count for (label, count) in numbers if label == "bicycle") == 1
    assert {count for (label, count) in numbers if label == "motorcycle"} == {0, 1, 2}


def test_vehicles_keep_left_and_oncoming_ones_face_the_camera(streets):
    for street in streets:
        for thing in street:
            if (
                thing.speed[1] > 0 and thing.speed[0] == 0
            ):  # along: as fast as the camera, a quarter of a metre more or less
                assert abs(thing.heading) <= 0.175
                assert thing.speed[1] == pytest.approx(1.0, abs=0.25)
                assert ROAD.left < thing.x < ROAD.middle
            elif thing.speed[1] < 0:
                assert abs(thing.heading - np.pi) <= 0.175
                assert ROAD.middle < thing.x < ROAD.right
