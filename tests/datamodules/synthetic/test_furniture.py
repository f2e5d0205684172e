"""Street furniture has the dimensions that were requested, stands on the ground, and shows its front along +z."""

import numpy as np
import pytest

from datamodules.synthetic import furniture
from datamodules.synthetic.geometry import Palette

SEEDS = range(25)


def palette(seed: int) -> Palette:
    return Palette(np.random.default_rng(seed))


def bounds(shape):
    points = shape.points
    return points.min(axis=0), points.max(axis=0)


@pytest.mark.parametrize(("height", "radius"), [(3.0, 0.06), (6.0, 0.1)])
def test_a_pole_stands_on_the_ground_and_a_lamp_adds_an_arm(height, radius):
    pole, lamp = (furniture.pole(palette(1), height, lamp=lamp) for lamp in (False, True))
    assert [(limb.corners.tolist(), limb.radius) for limb in pole.limbs] == [([[0, 0, 0], [0, height, 0]], radius)]
    assert [limb.corners[1][1] for limb in lamp.limbs] == [height, height + 0.5]


def test_a_sign_hangs_at_its_height_and_has_a_back():
    sizes = []
    for seed in SEEDS:
        sign = furniture.traffic_sign(palette(seed), 2.0)
        low, high = bounds(sign)
        sizes.append(high[0] - low[0])
        assert (
            2.0 - 1e-9 <= low[1] < high[1] <= 2.0 + 1.6
        )  # a polygon of an odd number of corners is lower than its circle
        assert (low[2], high[2]) == (-0.03, 0.03)
        assert [face.normal[2] for face in sign.faces[:2]] == [1, -1]
        assert all(face.normal[2] == 1 for face in sign.faces[2:])
    assert min(sizes) >= 0.5
    assert max(sizes) <= 2.4


def test_one_of_three_lamps_is_lit_and_the_green_one_is_lowest():
    lit = set()
    for seed in SEEDS:
        light = furniture.traffic_light(palette(seed), 2.5)
        lamps = [face for face in light.faces if len(face.corners) == 10]
        assert [lamp.glow for lamp in lamps].count(1.0) == 1
        assert len(lamps) == 3
        assert all(lamp.corners[0, 2] == 0.31 and lamp.normal[2] == 1 for lamp in lamps)
        lit.add([lamp.glow for lamp in lamps].index(1.0))
        green, red = lamps[0], lamps[2]
        assert green.colour[1] > green.colour[0]
        assert red.colour[0] > red.colour[1]
        assert bounds(light)[0][1] >= 2.5 - 0.15  # a back plate extends 15 cm beyond the housing
        (x0, y0, _), (x1, y1, _) = green.corners.mean(axis=0), red.corners.mean(axis=0)
        assert y0 < y1 if abs(x0 - x1) < 1e-9 else y0 == pytest.approx(y1)
    assert lit == {0, 1, 2}


def test_a_billboard_has_two_posts_and_its_patches_lie_on_it():
    for seed in SEEDS:
        board = furniture.billboard(palette(seed))
        plate, back, *patches = board.faces
        assert [limb.corners[0][1] for limb in board.limbs] == [0, 0]
        assert board.limbs[0].corners[1][1] == pytest.approx(plate.corners[:, 1].max())
        assert 4 <= len(patches) <= 9
        for patch in patches:
            assert (patch.corners.min(axis=0) >= plate.corners.min(axis=0) - 1e-9).all()
            assert (patch.corners.max(axis=0) <= plate.corners.max(axis=0) + 1e-9).all()
        assert back.normal[2] == -1


def test_trees_grow_from_the_ground_and_differ():
    trees = [furniture.tree(palette(seed)) for seed in SEEDS]
    assert {len(tree.limbs) for tree in trees} == {
        25,
        34,
        35,
    }  # palm: trunk and 12 leaves of 2; bush: 34; crown: and a trunk
    for tree in trees:
        low, high = bounds(tree)
        assert 0 <= low[1] <= 0.5
        assert high[1] <= 10
        assert np.abs([low[0], high[0], low[2], high[2]]).max() < 6


def test_a_house_reaches_back_from_its_front():
    for seed in SEEDS:
        house = furniture.house(palette(seed), 8.0, 10.0)
        low, high = bounds(house)
        assert low.tolist() == [-8, 0, 0]
        assert high[2] == 10
        assert high[0] in (0.0, 0.7)  # balconies
        assert 2.8 + 0.5 <= high[1] <= 4 * 3.4 + 0.5
        windows = [face for face in house.faces if face.solid == 1][6:]
        assert windows
        assert all(tuple(face.normal) in ((1, 0, 0), (0, 0, -1)) for face in windows)


def test_walls_and_fences_have_their_length():
    for seed in SEEDS:
        low, high = bounds(furniture.wall(palette(seed), 7.0))
        assert (low[0], high[0], low[1], low[2], high[2]) == (-0.12, 0.12, 0, 0, 7)
        assert 1.0 <= high[1] <= 2.2
    fence = furniture.fence(palette(0), 4.0)
    posts = [limb for limb in fence.limbs if limb.corners[0][2] == limb.corners[1][2]]
    assert [post.corners[0][2] for post in posts] == pytest.approx([0, 0.8, 1.6, 2.4, 3.2])
    assert len(fence.limbs) == 5 + 2  # two rails
