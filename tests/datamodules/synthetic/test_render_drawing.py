"""Perspective, facing and order of drawing, against values worked out by hand."""

import numpy as np
import pytest

from datamodules.synthetic.geometry import Camera, Light, Shape
from datamodules.synthetic.render import coverage, draw, fixed_point, paint

CAMERA = Camera(x=0, height=1.5, z=0, yaw=0, focal=500, centre=320, horizon=160, size=(360, 640))
LIGHT = Light(
    sun=np.array([0.0, 1.0, 0.0]), ambient=np.ones(3), diffuse=np.zeros(3), haze=np.full(3, 200.0), visibility=1e9
)
RED, BLUE = (200.0, 0.0, 0.0), (0.0, 0.0, 200.0)


def drawn(*placed, camera=CAMERA, light=LIGHT):
    image = np.zeros((*camera.size, 3), dtype=np.uint8)
    for shape, at, heading in placed:
        paint(image, draw(shape, at, heading, camera, light).steps)
    return image


def test_a_box_has_the_size_of_similar_triangles():
    # The front face, 2 m wide and 1 m high, at 10 m: 500 / 10 = 50 pixels a metre; its foot 1.5 m below the horizon.
    box = Shape().box((-1, 1), (0, 1), (0, 2), RED)
    ys, xs = np.nonzero(coverage(draw(box, (0, 0, 10), 0.0, CAMERA, LIGHT), np.zeros(2), CAMERA.size))
    assert (xs.min(), xs.max()) == pytest.approx((270, 370), abs=1)
    # The top face is seen from above: it ends at 12 m, 0.5 m below the horizon.
    assert (ys.min(), ys.max()) == pytest.approx((160 + 0.5 * 500 / 12, 160 + 1.5 * 50), abs=1)


def test_a_heading_turns_from_forward_to_the_right():
    rod = Shape().limb((0, 1.5, 0), (0, 1.5, 2), 0.05, RED)
    _, xs = np.nonzero(drawn((rod, (0, 0, 10), np.pi / 2))[..., 0])
    assert (xs.min(), xs.max()) == pytest.approx((320, 420), abs=4)


def test_a_camera_that_turns_right_sees_things_move_left():
    ball = Shape().limb((0, 1.5, 0), (0, 1.5, 0), 0.1, RED)
    _, xs = np.nonzero(drawn((ball, (0, 0, 10), 0.0), camera=CAMERA._replace(yaw=0.1))[..., 0])
    assert xs.mean() == pytest.approx(320 - 500 * np.tan(0.1), abs=1)


def test_only_the_side_that_looks_here_is_drawn():
    plate = (
        Shape()
        .box((-1, 1), (0, 2), (-0.1, 0.1), BLUE)
        .end([(-0.9, 0.1), (0.9, 0.1), (0.9, 1.9), (-0.9, 1.9)], 0.1, RED)
    )
    away, here = drawn((plate, (0, 0, 8), 0.0)), drawn((plate, (0, 0, 8), np.pi))
    assert not away[..., 0].any()
    assert (here[..., 0] == 200).sum() > 10_000


def test_within_a_shape_the_nearer_solid_covers_the_farther():
    for near, far in ((-1.0, 1.0), (1.0, -1.0)):
        shape = (
            Shape()
            .box((-1, 1), (0, 2), (near - 0.3, near + 0.3), RED)
            .box((-1, 1), (0, 2), (far - 0.3, far + 0.3), BLUE)
        )
        assert drawn((shape, (0, 0, 10), 0.0))[200, 320].tolist() == ([200, 0, 0] if near < far else [0, 0, 200])


def test_what_crosses_the_lens_is_cut_and_what_is_behind_is_not_drawn():
    wall = Shape().box((-1.2, -1.0), (0, 2), (-5, 20), RED)
    image = drawn((wall, (0, 0, 0), 0.0))
    assert image[160, 0, 0] == 200
    assert not image[:, 320:].any()
    assert not draw(wall, (0, 0, -30), 0.0, CAMERA, LIGHT).steps


def test_nothing_is_drawn_of_what_lies_to_one_side_of_the_frame():
    box = Shape().box((-1, 1), (0, 1), (0, 2), RED)
    for x in (-20.0, 20.0):  # 500 / 10 = 50 pixels a metre: its nearer side lies 630 pixels or more beyond the edge
        assert not draw(box, (x, 0, 10), 0.0, CAMERA, LIGHT).steps
    assert draw(box, (-7.0, 0, 10), 0.0, CAMERA, LIGHT).steps  # from -80 to 20 pixels


def test_limits_and_coverage_are_in_pixels():
    # A ball of radius 0.1 m at 10 m: 5 pixels, drawn as a line of width 10 around (320, 160).
    ball = draw(Shape().limb((0, 1.5, 0), (0, 1.5, 0), 0.1, RED), (0, 0, 10), 0.0, CAMERA, LIGHT)
    assert [limit.tolist() for limit in ball.limits()] == [[315, 155], [325, 165]]
    ys, xs = np.nonzero(coverage(ball, np.array([310.0, 150.0]), (20, 20)))
    assert (ys.mean(), xs.mean()) == pytest.approx((10, 10), abs=0.5)
    assert len(ys) == pytest.approx(25 * np.pi, rel=0.25)


def test_fixed_point_has_four_bits_and_is_clipped():
    assert fixed_point(np.array([[1.5, -2.0], [1e9, -1e9]])).tolist() == [[24, -32], [1 << 18, -(1 << 18)]]
