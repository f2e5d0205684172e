"""Vehicles stand on the ground, have their wheels and size, white lamps in front and red ones behind."""

import numpy as np
import pytest

from datamodules.synthetic import vehicles
from datamodules.synthetic.geometry import LAMP_RED, LAMP_WHITE, PLATE, TYRE, Palette

SEEDS = range(20)
# Wheels, and the ranges of length, width and height in metres.
KINDS = {
    vehicles.car: ((4,), (3.3, 4.5), (1.45, 1.8), (1.4, 2.25)),  # with a load on the roof up to 0.4 m higher
    vehicles.autorickshaw: ((3,), (2.5, 2.9), (1.16, 1.4), (1.65, 1.85)),
    vehicles.bus: ((4,), (5.5, 10.5), (2.1, 2.56), (2.5, 3.8)),
    vehicles.truck: ((4, 6), (3.8, 8.5), (1.5, 2.5), (1.7, 4.5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_size_and_the_wheels_of_its_kind(kind):
    wheels, *sizes = KINDS[kind]
    found = set()
    for seed in SEEDS:
        shape = kind(Palette(np.random.default_rng(seed)))
        points = shape.points
        low, high = points.min(axis=0), points.max(axis=0)
        for extent, (least, most) in zip((high - low)[[2, 0, 1]], sizes, strict=True):
            assert least - 0.1 <= extent <= most + 1e-9
        assert 0 <= low[1] < 0.1  # a tyre of ten corners is a little lower than round
        assert high[0] == pytest.approx(-low[0])
        found.add(len({face.solid for face in shape.faces if face.colour == TYRE}))
    assert found == set(wheels)


@pytest.mark.parametrize("kind", [vehicles.car, vehicles.bus, vehicles.truck])
def test_white_lamps_are_in_front_and_red_ones_and_the_plate_behind(kind):
    for seed in SEEDS:
        shape = kind(Palette(np.random.default_rng(seed)))
        front = max(face.corners[:, 2].max() for face in shape.faces)
        for colour, z, count in ((LAMP_WHITE, front, 2), (LAMP_RED, -front, 2), (PLATE, -front, 1)):
            lamps = [face for face in shape.faces if face.colour == colour]
            assert len(lamps) == count
            assert all(np.allclose(lamp.corners[:, 2], z) and lamp.normal[2] == np.sign(z) for lamp in lamps)
            assert all((lamp.glow > 0) == (colour != PLATE) for lamp in lamps)


def test_lamps_are_mirror_images():
    car = vehicles.car(Palette(np.random.default_rng(0)))
    left, right = (face for face in car.faces if face.colour == LAMP_WHITE)
    assert left.corners * (-1, 1, 1) == pytest.approx(right.corners)


def test_the_same_generator_gives_the_same_vehicle():
    for kind in KINDS:
        first, second, other = (kind(Palette(np.random.default_rng(seed))) for seed in (1, 1, 2))
        assert np.array_equal(first.points, second.points)
        assert [face.colour for face in first.faces] == [face.colour for face in second.faces]
        assert not np.array_equal(first.points, other.points)


def test_a_motorcycle_has_two_wheels_in_line_a_lamp_ahead_and_a_plate_behind():
    bases = set()
    for seed in SEEDS:
        shape = vehicles.motorcycle(Palette(np.random.default_rng(seed)))
        wheels = {}
        for face in shape.faces:
            if face.colour == TYRE:
                wheels.setdefault(face.solid, []).append(face.corners)
        rear, front = (np.concatenate(corners) for corners in wheels.values())
        for wheel in (rear, front):
            assert wheel[:, 0].mean() == pytest.approx(0)
            assert 0 <= wheel[:, 1].min() < 0.02
        assert rear[:, 2].mean() == pytest.approx(-front[:, 2].mean())
        bases.add(round(float(front[:, 2].mean()), 2))
        [lamp] = [limb for limb in shape.limbs if limb.colour == LAMP_WHITE]
        plates = [face for face in shape.faces if face.colour == PLATE]
        assert lamp.corners[0][2] > 0.3
        assert max(plate.corners[:, 2].max() for plate in plates) < rear[:, 2].mean()
    assert len(bases) > 5


def test_a_bicycles_rims_are_circles_that_touch_the_ground():
    for seed in SEEDS:
        shape = vehicles.bicycle(Palette(np.random.default_rng(seed)))
        rims = [limb for limb in shape.limbs if limb.radius == 0.025]
        spokes = [limb for limb in shape.limbs if limb.radius == 0.007]
        assert (len(rims), len(spokes)) == (2 * 12, 2 * 3)
        assert min(limb.corners[0][1] for limb in rims) == pytest.approx(0)
        radius = max(limb.corners[0][1] for limb in rims) / 2
        assert 0.31 <= radius <= 0.36
        assert all(
            np.hypot(*np.subtract(spoke.corners[0], spoke.corners[1])[1:]) == pytest.approx(2 * radius)
            for spoke in spokes
        )
