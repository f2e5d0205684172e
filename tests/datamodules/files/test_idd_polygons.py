"""Polygon files: what is read, what is passed over, and how broken ones are named."""

import json
import os
from pathlib import Path

import pytest

from datamodules.errors import DatasetError
from datamodules.files.idd_polygons import (
    AnnotationError,
    Frame,
    find_frames,
    known_label,
    polygon_file,
    read_annotation,
)

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
    ],
)
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "broken_gtFine_polygons.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match="broken_gtFine_polygons"):
        read_annotation(path)


def make_frame(root: Path, split: str, drive: str, frame: str, ending: str | None = ".jpg") -> None:
    for kind in ("leftImg8bit", "gtFine"):
        (root / kind / split / drive).mkdir(parents=True, exist_ok=True)
    (root / "gtFine" / split / drive / f"{frame}_gtFine_polygons.json").write_text(polygon_text())
    if ending:
        (root / "leftImg8bit" / split / drive / f"{frame}_leftImg8bit{ending}").touch()


def test_frames_of_both_endings_are_found_and_lead_back_to_their_polygons(tmp_path):
    make_frame(tmp_path, "val", "7", "b", ".png")
    make_frame(tmp_path, "train", "12", "a")
    (tmp_path / "leftImg8bit/test/3").mkdir(parents=True)
    (tmp_path / "leftImg8bit/test/3/c_leftImg8bit.jpg").touch()  # without truth
    frames = find_frames(tmp_path)
    assert frames == [
        Frame("leftImg8bit/train/12/a_leftImg8bit.jpg", "12"),
        Frame("leftImg8bit/val/7/b_leftImg8bit.png", "7"),
    ]
    assert all(polygon_file(tmp_path, frame.name).is_file() for frame in frames)


def test_an_image_that_is_not_there_and_an_empty_root_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"leftImg8bit/train/<drive>/<frame>_leftImg8bit.\(png\|jpg\)"):
        find_frames(tmp_path)
    make_frame(tmp_path, "train", "1", "lonely", ending=None)
    with pytest.raises(DatasetError, match="leftImg8bit/train/1/lonely_leftImg8bit"):
        find_frames(tmp_path)


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
def test_a_genuine_file_has_227_objects_of_which_30_are_deleted():
    path = Path(os.environ["REAL_DATA"]) / "idd_polygons/gtFine/train/000/sample_gtFine_polygons.json"
    annotation = read_annotation(path)
    stray = sum(len(entry["polygon"]) < 3 for entry in json.loads(path.read_text())["objects"] if not entry["deleted"])
    assert (annotation.width, annotation.height) == (1920, 1080)
    assert len(annotation.objects) == 227 - 30 - stray
