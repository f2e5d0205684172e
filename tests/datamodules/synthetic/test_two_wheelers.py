"""Two-wheelers stand on two wheels in line, and a rider sits where the seat is."""

import numpy as np
import pytest

from datamodules.synthetic import two_wheelers
from datamodules.synthetic.geometry import TYRE
from datamodules.synthetic.palette import LAMP_WHITE, PLATE, Palette

SEEDS = range(20)


def palette(seed: int) -> Palette:
    return Palette(np.random.default_rng(seed))


def test_a_motorcycle_has_two_wheels_in_line_a_lamp_ahead_and_a_plate_behind():
    bases = set()
    for seed in SEEDS:
        shape = two_wheelers.motorcycle(palette(seed))
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
        shape = two_wheelers.bicycle(palette(seed))
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


@pytest.mark.parametrize("place", [0.0, -0.42])
def test_a_rider_sits_on_the_seat_with_both_hands_ahead(place):
    for seed in SEEDS:
        rider = two_wheelers.rider(palette(seed), seat=0.9, reach=0.5, place=place)
        hips = [limb.corners[0] for limb in rider.limbs if limb.radius == 0.085]
        hands = [limb.corners[1] for limb in rider.limbs if limb.radius == 0.045]
        assert hips == [pytest.approx((side * 0.1, 0.9, place - 0.15)) for side in (-1, 1)]
        assert hands == [pytest.approx((side * 0.26, 1.14, place + 0.35)) for side in (-1, 1)]
        head = [limb for limb in rider.limbs if limb.radius == 0.12]
        assert len(head) == 1
        assert 0.9 + 0.46 + 0.2 <= head[0].corners[0][1] <= 0.9 + 0.6 + 0.2
