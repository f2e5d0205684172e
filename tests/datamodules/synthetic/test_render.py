"""Frames and their polygons, from streets of few objects whose outlines follow from similar triangles."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from datamodules.synthetic.geometry import Camera, Light, Shape
from datamodules.synthetic.render import MARGIN, render
from datamodules.synthetic.street import Road, Thing
from datamodules.synthetic.weather import Weather

SIZE = (180, 320)
CAMERA = Camera(x=0, height=1.5, z=0, yaw=0, focal=250, centre=160, horizon=80, size=SIZE)
ROAD = Road(-3.0, 3.0, travel=0.0)
RED, BLUE, GREY = (200.0, 0.0, 0.0), (0.0, 0.0, 200.0), (90.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def weather():
    """Even light, and a camera that adds nothing."""
    drawn = Weather.sample(np.random.default_rng(0), SIZE)
    light = Light(np.array([0.0, 1.0, 0.0]), np.ones(3), np.zeros(3), np.full(3, 200.0), 1e9)
    levels = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    neutral = {"noise": np.full_like(drawn.noise, 128), "ground": np.full_like(drawn.ground, 128), "tone": levels}
    return replace(drawn, kind="overcast", light=light, blur=0.01, **neutral)


def street(weather, *things, camera=CAMERA, road=ROAD):
    strips = [("road", (road.left, road.right), GREY)]
    return SimpleNamespace(
        size=SIZE, weather=weather, strips=strips, things=list(things), road=road, camera=lambda _: camera
    )


def box(colour, label="car", x=0.0, z=10.0, **more):
    return Thing(label, Shape().box((-1, 1), (0, 1), (0, 2), colour), x, z, 0.0, **more)


def objects(content, label):
    return [np.array(o["polygon"]) for o in content["objects"] if o["label"] == label and not o["deleted"]]


def test_an_outline_is_that_of_similar_triangles(weather):
    _, content = render(street(weather, box(RED)), 0, np.random.default_rng(2))
    [outline] = [polygon for polygon in objects(content, "car") if len(polygon) > 2]
    # The front at 10 m: 25 pixels a metre, its foot 1.5 m below the horizon; the top ends at 12 m, 0.5 m below it.
    assert outline.min(axis=0) == pytest.approx((160 - 25, 80 + 0.5 * 250 / 12), abs=1.5)
    assert outline.max(axis=0) == pytest.approx((160 + 25, 80 + 1.5 * 25), abs=1.5)
    assert (content["imgHeight"], content["imgWidth"]) == SIZE


def test_sky_and_ground_meet_at_the_horizon(weather):
    _, content = render(street(weather), 0, np.random.default_rng(2))
    [sky] = [polygon for polygon in objects(content, "sky") if len(polygon) > 2]
    assert sky.tolist() == [[0, 0], [320, 0], [320, 81], [0, 81]]
    [road] = [polygon for polygon in objects(content, "road") if len(polygon) > 2]
    # 3 m to each side, from 1.5 m to 400 m ahead.
    assert road == pytest.approx(np.array([(-340, 330), (660, 330), (161.88, 80.94), (158.12, 80.94)]), abs=0.01)


@pytest.mark.parametrize(("first", "second"), [(8.0, 14.0), (14.0, 8.0)])
def test_nearer_objects_are_drawn_and_listed_after_farther_ones(weather, first, second):
    things = (box(RED, "car", z=first), box(BLUE, "truck", z=second))
    image, content = render(street(weather, *things), 0, np.random.default_rng(2))
    order = [o["label"] for o in content["objects"] if o["label"] in ("car", "truck") and not o["deleted"]]
    assert order == (["truck", "car"] if first < second else ["car", "truck"])
    y = round(80 + 1.0 * 250 / 8)  # the middle of the nearer front
    nearer = 0 if first < second else 2
    assert image[y, 160, nearer] > 150 > image[y, 160, 2 - nearer]


def test_a_shift_lets_a_rider_be_drawn_after_what_it_sits_on(weather):
    things = (box(RED, "rider", z=6.0, shift=0.25), box(BLUE, "motorcycle", z=6.0))
    _, content = render(street(weather, *things), 0, np.random.default_rng(2))
    labels = [o["label"] for o in content["objects"] if not o["deleted"]]
    assert labels.index("motorcycle") < labels.index("rider")


def test_scenery_is_behind_all_traffic(weather):
    things = (box(RED, "building", z=6.0, scenery=True), box(BLUE, "truck", z=14.0))
    image, _ = render(street(weather, *things), 0, np.random.default_rng(2))
    assert image[round(80 + 1.0 * 250 / 14), 160].argmax() == 2


def test_traffic_behind_or_beside_the_camera_is_left_out(weather):
    things = (box(RED, z=-10.0), box(RED, z=1.5), box(RED, x=60.0, z=10.0))
    _, content = render(street(weather, *things), 0, np.random.default_rng(2))
    assert not objects(content, "car")


def test_outlines_go_beyond_the_frame_up_to_the_margin(weather):
    _, content = render(street(weather, box(RED, x=-6.0)), 0, np.random.default_rng(2))
    [outline] = [polygon for polygon in objects(content, "car") if len(polygon) > 2]
    assert outline[:, 0].min() == pytest.approx(160 - 7 * 25, abs=1.5)
    low = CAMERA._replace(horizon=120.0)
    _, content = render(street(weather, box(RED, x=-0.5, z=2.1), camera=low), 0, np.random.default_rng(2))
    [outline] = [polygon for polygon in objects(content, "car") if len(polygon) > 2]
    assert outline[:, 1].max() == pytest.approx(180 + MARGIN, abs=2)  # its foot would be at 120 + 1.5 * 250 / 2.1 = 299
    assert outline.min() >= -MARGIN - 1


def test_objects_darken_the_ground_beneath_them(weather):
    plain, _ = render(street(weather), 0, np.random.default_rng(2))
    shaded, _ = render(street(weather, box(RED)), 0, np.random.default_rng(2))
    foot = round(80 + 1.5 * 25) + 1  # just below the front's foot
    assert shaded[foot, 160, 0] < 0.9 * plain[foot, 160, 0]
    assert shaded[170, 20].tolist() == plain[170, 20].tolist()


@pytest.mark.parametrize(("right", "lined"), [(4.5, False), (5.0, True)])
def test_only_roads_wider_than_seven_and_a_half_metres_have_a_line(weather, right, lined):
    image, _ = render(street(weather, road=Road(-3.0, right, travel=0.0)), 0, np.random.default_rng(2))
    middle = (right - 3.0) / 2 + 0.5
    y, x = round(80 + 1.5 * 250 / 7.5), round(160 + middle * 250 / 7.5)  # within a dash from 6 to 9 m
    assert (image[y, x, 0] > image[y, x - 12, 0] + 50) == lined


def test_a_share_of_objects_is_deleted_and_identifiers_count_them_all(weather):
    things = [box(RED, x=x, z=z) for x in (-4.0, 0.0, 4.0) for z in np.arange(8.0, 40.0, 4.0)]
    _, content = render(street(weather, *things), 0, np.random.default_rng(2))
    kept = sum(not o["deleted"] for o in content["objects"])
    stray = sum(len(o["polygon"]) == 2 for o in content["objects"])
    assert sum(o["deleted"] for o in content["objects"]) == round((kept - stray) * 0.13 / 0.87)
    assert [o["id"] for o in content["objects"]] == list(range(len(content["objects"])))


def test_slight_objects_of_countable_classes_may_be_a_group(weather):
    things = [box(RED, "car", x=x, z=z) for x in (-9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0) for z in (40.0, 46.0, 52.0)]
    labels = [o["label"] for o in render(street(weather, *things), 0, np.random.default_rng(2))[1]["objects"]]
    assert 0.02 < labels.count("cargroup") / (labels.count("car") + labels.count("cargroup")) < 0.35
    wide = [box(RED, "car", z=8.0), box(RED, "bus", z=46.0)]
    labels = [o["label"] for o in render(street(weather, *wide), 0, np.random.default_rng(2))[1]["objects"]]
    assert not [label for label in labels if label.endswith("group")]
