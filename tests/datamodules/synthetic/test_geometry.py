"""Corners, normals, the camera and the light, against values worked out by hand."""

import numpy as np
import pytest

from datamodules.synthetic.geometry import NEAR, Camera, Light, Shape, rectangle, regular_polygon

CAMERA = Camera(x=1, height=1.5, z=10, yaw=0, focal=500, centre=320, horizon=160, size=(360, 640))
RED = (200.0, 0.0, 0.0)


def test_a_rectangle_changes_its_first_coordinate_first():
    assert rectangle((1, 2), (3, 5)) == [(1, 3), (2, 3), (2, 5), (1, 5)]


def test_a_regular_polygon_has_its_corners_on_the_circle():
    assert regular_polygon(4, 2.0, (1.0, 5.0)) == pytest.approx(np.array([(3, 5), (1, 7), (-1, 5), (1, 3)]))
    assert regular_polygon(3, 2.0, (0.0, 0.0), turn=np.pi / 2)[0] == pytest.approx((0, 2))


def test_the_camera_looks_along_z_from_its_place():
    assert CAMERA.to_camera(np.array([[3.0, 0.0, 20.0]])).tolist() == [[2.0, -1.5, 10.0]]
    right = CAMERA._replace(yaw=np.pi / 2)  # turned to the right it looks along x
    assert right.to_camera(np.array([[3.0, 0.0, 20.0]])) == pytest.approx(np.array([[-10.0, -1.5, 2.0]]))


def test_projection_is_by_similar_triangles_and_stops_at_the_near_plane():
    # 500 / 10 = 50 pixels a metre; what is level with the lens lies on the horizon.
    assert CAMERA.project(np.array([[2.0, -1.5, 10.0], [0.0, 0.0, 10.0]])).tolist() == [[420, 235], [320, 160]]
    assert CAMERA.project(np.array([[1.0, 0.0, 0.01]])) == pytest.approx(CAMERA.project(np.array([[1.0, 0.0, NEAR]])))


def test_light_and_haze_follow_their_formulas():
    up, side = np.array([[0.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 0.0]])
    light = Light(sun=up[0], ambient=np.full(3, 0.5), diffuse=np.full(3, 0.25), haze=np.full(3, 200.0), visibility=10.0)
    colour, dull, near = np.array([[100.0, 0.0, 0.0]]), np.zeros(1), np.zeros(1)
    assert light.shade(colour, up, dull, near)[0, 0] == pytest.approx(75)
    assert light.shade(colour, side, dull, near)[0, 0] == pytest.approx(50)
    assert light.shade(colour, side, np.ones(1), near)[0, 0] == pytest.approx(100)  # a lamp
    clear = np.exp(-1.0)
    assert light.shade(colour, up, dull, np.array([10.0]))[0] == pytest.approx(
        [75 * clear + 200 * (1 - clear), 200 * (1 - clear), 200 * (1 - clear)]
    )


def test_a_box_has_six_faces_that_face_outwards():
    box = Shape().box((0, 2), (0, 1), (4, 8), RED)
    found = {tuple(face.normal.round(9) + 0.0): face.corners.mean(axis=0).tolist() for face in box.faces}
    assert found == {
        (-1, 0, 0): [0, 0.5, 6], (1, 0, 0): [2, 0.5, 6], (0, -1, 0): [1, 0, 6],
        (0, 1, 0): [1, 1, 6], (0, 0, -1): [1, 0.5, 4], (0, 0, 1): [1, 0.5, 8],
    }  # fmt: skip


@pytest.mark.parametrize("direction", [1, -1])
def test_a_hull_faces_outwards_whichever_way_its_profile_goes(direction):
    wedge = Shape().hull([(0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 1.0)][::direction], RED)
    normals = {tuple(face.normal.round(4) + 0.0) for face in wedge.faces}
    assert normals == {(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0.7071, 0.7071)}


def test_a_hull_that_ends_in_a_line_has_no_face_without_an_area():
    roof = Shape().hull([(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (2.0, 0.0, 0.0)], RED)
    assert all(np.isfinite(face.normal).all() for face in roof.faces)
    assert len(roof.faces) == 2 + 2  # the bottom is a line


def test_an_axle_has_a_wheel_on_each_side_with_two_hubs_each():
    shape = Shape().axle(0.9, 0.2, 0.3, 2.0, 0.3, RED)
    points = shape.points
    assert (points.min(axis=0), points.max(axis=0)) == (
        pytest.approx((-0.9, 0.3 - 0.3 * np.sin(0.4 * np.pi), 1.7)),
        pytest.approx((0.9, 0.3 + 0.3 * np.sin(0.4 * np.pi), 2.3)),
    )
    assert np.abs(points[:, 0]).min() == pytest.approx(0.7)
    hubs = [(face.corners[0, 0], face.normal[0]) for face in shape.faces if face.colour == RED]
    assert hubs == [pytest.approx(hub) for hub in ((-0.9, -1), (-0.7, 1), (0.7, -1), (0.9, 1))]


def test_details_lie_on_flanks_and_ends_and_face_away():
    shape = Shape().box((-1, 1), (0, 2), (-3, 3), RED)
    shape.pane((0, 1), (0.5, 1.5), 1.0, RED).end(rectangle((0, 1), (1, 2)), -3.0, RED, 0.4)
    left, right, rear = shape.faces[6:]
    assert (left.normal.tolist(), right.normal.tolist(), rear.normal.tolist()) == ([-1, 0, 0], [1, 0, 0], [0, 0, -1])
    assert right.corners.tolist() == [[1, 0.5, 0], [1, 1.5, 0], [1, 1.5, 1], [1, 0.5, 1]]
    assert rear.corners.tolist() == [[0, 1, -3], [1, 1, -3], [1, 2, -3], [0, 2, -3]]
    assert (rear.glow, {face.solid for face in shape.faces}) == (0.4, {1})  # painted on the box


def test_joining_moves_a_copy_and_numbers_its_solids_after_ones_own():
    other = Shape().box((0, 1), (0, 1), (0, 1), RED).limb((0, 0, 0), (0, 1, 0), 0.1, RED)
    group = Shape().limb((0, 0, 0), (0, 0, 0), 0.1, RED).join(other, (1.0, 2.0, 3.0))
    assert group.solids == 3
    assert {face.solid for face in group.faces} == {2}
    assert [(limb.corners.tolist(), limb.solid) for limb in group.limbs[1:]] == [([[1, 2, 3], [1, 3, 3]], 3)]
    assert group.faces[0].corners.min(axis=0).tolist() == [1, 2, 3]
    assert other.faces[0].corners.min() == 0


def test_points_are_those_of_faces_first_then_the_ends_of_limbs():
    shape = Shape().limb((0, 0, 0), (0, 1, 0), 0.25, RED).end([(0, 0), (1, 0), (0, 1)], 0.5, (1.0, 2.0, 3.0))
    assert shape.points.tolist() == [[0, 0, 0.5], [1, 0, 0.5], [0, 1, 0.5], [0, 0, 0], [0, 1, 0]]
    assert ([face.solid for face in shape.faces], [limb.solid for limb in shape.limbs]) == ([1], [1])


def test_a_hull_is_scaled_in_length_and_width():
    profile = [(0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 0.5)]
    plain, scaled = Shape().hull(profile, RED), Shape().hull(profile, RED, length=3.0, half=2.0)
    assert scaled.points == pytest.approx(plain.points * (2, 1, 3))
