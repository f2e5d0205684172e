"""Polygon files: what is read, what is skipped, and how broken ones are named."""

import json
import os
import time
from pathlib import Path

import pytest

from datamodules.files.idd_polygons import LARGEST_FRAME, AnnotationError, known_label, read_annotation
from datamodules.files.masks import polygon_mask
from label_spaces.catalogue import load

TRIANGLE = [[0.0, 0.0], [4.5, 0.0], [0.0, 4.0]]


def polygon_text(**changes):
    entry = {"label": "car", "polygon": TRIANGLE, "deleted": 0, "draw": True, "id": 0}
    return json.dumps({"imgWidth": 20, "imgHeight": 10, "objects": [entry | changes]})


def test_deleted_objects_and_stray_clicks_are_passed_over_and_positions_kept(tmp_path):
    objects = [
        {"label": "road", "polygon": TRIANGLE, "deleted": 1},
        {"label": "car", "polygon": TRIANGLE[:2], "deleted": 0},
        {"label": "bus", "polygon": TRIANGLE, "deleted": 0},
        {"label": "persongroup", "polygon": TRIANGLE},
    ]
    path = tmp_path / "polygons.json"
    path.write_text(json.dumps({"imgWidth": 20, "imgHeight": 10, "objects": objects}))
    annotation = read_annotation(path)
    assert (annotation.width, annotation.height) == (20, 10)
    assert [(thing.index, thing.label) for thing in annotation.objects] == [(2, "bus"), (3, "persongroup")]
    assert annotation.objects[0].polygon.tolist() == TRIANGLE


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("car", "car"),
        ("cargroup", "car"),
        ("polegroup", "polegroup"),
        ("group", None),
        ("spaceship", None),
        ("carpet", None),
    ],
)
def test_a_group_is_tried_without_its_ending_only_when_unknown(label, name):
    assert known_label(label, {"car", "pole", "polegroup"}) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        polygon_text(polygon=[[0, 0], [1], [2, 2]]),
        polygon_text(polygon=[[0, 0], [1, "x"], [2, 2]]),
        polygon_text(polygon=[[0, 0], [1, float("nan")], [2, 2]]),
        polygon_text(label=7),
        polygon_text().replace('"imgWidth": 20', '"imgWidth": -1'),
        polygon_text().replace('"polygon"', '"corners"'),
        polygon_text(polygon=[[0, 0], [1, 10**400], [2, 2]]),  # more than a float holds
        polygon_text().replace('"imgWidth": 20', f'"imgWidth": {2**31}'),  # 20 GB
        polygon_text().replace('"imgWidth": 20', f'"imgWidth": {10**400}'),
        polygon_text().replace('"imgWidth": 20', '"imgWidth": ' + "9" * 5000),
        "[" * 100_000,
        '{"imgWidth": 1, "imgHeight": 1, "objects": [[[]]]}',
    ],
)
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "broken_gtFine_polygons.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match="broken_gtFine_polygons"):
        read_annotation(path)


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
def test_a_genuine_file_has_227_objects_of_which_30_are_deleted():
    path = Path(os.environ["REAL_DATA"]) / "idd_polygons/gtFine/train/000/sample_gtFine_polygons.json"
    annotation = read_annotation(path)
    stray = sum(len(entry["polygon"]) < 3 for entry in json.loads(path.read_text())["objects"] if not entry["deleted"])
    assert (annotation.width, annotation.height) == (1920, 1080)
    assert len(annotation.objects) == 227 - 30 - stray


def test_a_file_that_is_too_large_or_no_file_is_not_read(tmp_path):
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(LARGEST_FRAME + 1)  # takes no room on the disk
    os.mkfifo(tmp_path / "pipe.json")  # reading it would wait for ever
    for name in ("huge.json", "pipe.json"):
        with pytest.raises(AnnotationError, match=rf"{name}: it is not read: it is no regular file of up to 134217728"):
            read_annotation(tmp_path / name)


def test_corners_far_away_are_drawn_in_time(tmp_path):
    far = 1e30
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"imgWidth": 2000, "imgHeight": 1000, "objects": [
        {"label": "road", "polygon": [[-far, -far], [far, -far], [far, far], [-far, far]] * 50},
        {"label": "sky", "polygon": [[-(2**31), 5], [2**31, 5], [2**40, 7]]},
    ]}))  # fmt: skip
    began = time.process_time()
    assert polygon_mask(path, load("idd_level3")).shape == (1000, 2000)
    assert time.process_time() - began < 5
