"""People and animals stand on the ground and have the parts and the size of their kind."""

import numpy as np
import pytest

from datamodules.synthetic import living
from datamodules.synthetic.geometry import Palette

SEEDS = range(40)


def palette(seed: int) -> Palette:
    return Palette(np.random.default_rng(seed))


def feet(shape):
    return [limb for limb in shape.limbs if limb.colour == living.SHOE and limb.radius == 0.045]


def test_a_person_has_two_feet_and_two_arms_below_the_head():
    tops = []
    for seed in SEEDS:
        person = living.person(palette(seed))
        assert [foot.corners[0][1] for foot in feet(person)] == [0.04, 0.04]
        assert all(
            foot.corners[1][2] - foot.corners[0][2] == pytest.approx(0.12) for foot in feet(person)
        )  # heading +z
        hands = [limb.corners[1] for limb in person.limbs if limb.radius == 0.042]
        [hair] = [limb for limb in person.limbs if limb.radius == 0.1][1:]
        assert [np.sign(hand[0]) for hand in hands] == [-1, 1]
        assert max(hand[1] for hand in hands) < hair.corners[1][1]
        tops.append(hair.corners[1][1] + hair.radius)
    assert min(tops) > 0.52 * 1.05 + 0.34  # a crouching child: 0.22 and 0.3 of its height, and the head
    assert max(tops) <= 0.82 * 1.8 + 0.34
    assert len({round(top, 3) for top in tops}) > 30


def test_an_animal_has_four_legs_and_horns_or_none():
    horned = []
    for seed in SEEDS:
        animal = living.animal(palette(seed))
        points = animal.points
        assert points[:, 1].max() < 2.2
        length = points[:, 2].max() - points[:, 2].min()
        assert 0.5 * 0.85 * 1.8 < length < 1.15 * 2.6
        scale = animal.limbs[-1].radius / 0.035  # the tail is added last
        horned.append(sum(limb.radius == pytest.approx(0.03 * scale) for limb in animal.limbs))
        legs = [
            limb
            for limb in animal.limbs
            if limb.radius == pytest.approx(0.06 * scale) and limb.corners[1][1] < limb.corners[0][1]
        ]
        assert len(legs) in (0, 4)  # none where it lies
        assert all(leg.corners[1][1] == pytest.approx(0.07 * scale) for leg in legs)
    assert set(horned) == {0, 2}


def test_a_crowd_is_three_to_five_people_side_by_side():
    sizes = set()
    for seed in SEEDS:
        crowd = living.crowd(palette(seed))
        found = feet(crowd)
        sizes.add(len(found) // 2)
        centres = [(a.corners[0][0] + b.corners[0][0]) / 2 for a, b in zip(found[::2], found[1::2], strict=True)]
        assert centres == [pytest.approx(0.42 * i, abs=0.1 + 1e-9) for i in range(len(centres))]
        assert crowd.solids == len({limb.solid for limb in crowd.limbs} | {face.solid for face in crowd.faces})
    assert sizes == {3, 4, 5}


@pytest.mark.parametrize("place", [0.0, -0.42])
def test_a_rider_sits_on_the_seat_with_both_hands_ahead(place):
    for seed in SEEDS:
        rider = living.rider(palette(seed), seat=0.9, reach=0.5, place=place)
        hips = [limb.corners[0] for limb in rider.limbs if limb.radius == 0.085]
        hands = [limb.corners[1] for limb in rider.limbs if limb.radius == 0.045]
        assert hips == [pytest.approx((side * 0.1, 0.9, place - 0.15)) for side in (-1, 1)]
        assert hands == [pytest.approx((side * 0.26, 1.14, place + 0.35)) for side in (-1, 1)]
        head = [limb for limb in rider.limbs if limb.radius == 0.12]
        assert len(head) == 1
        assert 0.9 + 0.46 + 0.2 <= head[0].corners[0][1] <= 0.9 + 0.6 + 0.2
