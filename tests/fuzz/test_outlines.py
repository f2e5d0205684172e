"""Polygon files of IDD, LabelMe and COCO."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from datamodules.files.coco import CocoFile, is_coco
from datamodules.files.labelme import is_labelme, labelme_mask, labels_in
from datamodules.files.masks import polygon_mask
from label_spaces.catalogue import load
from label_spaces.space import LabelSpace
from tests.fuzz.mutations import changed_json, check, fuzzed, profile

SPACE = LabelSpace("own", ("road", "car", "sky"))


def drawn_as_png() -> str:
    content = io.BytesIO()
    Image.fromarray(np.ones((3, 4), bool)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


IDD = {
    "imgHeight": 24,
    "imgWidth": 36,
    "objects": [
        {"label": "sky", "polygon": [[-5.5, -3], [50, -3], [50, 12.5]], "deleted": 0},
        {"label": "persongroup", "polygon": [[0, 12], [36, 12.9], [36, 24], [0, 24]]},
        {"label": "road", "polygon": [[1, 2], [3, 4], [5, 6]], "deleted": 1},
    ],
}
LABELME = {
    "imagePath": "a.png",
    "imageHeight": 24,
    "imageWidth": 36,
    "shapes": [
        {"label": "road", "points": [[0, 0], [5, 5], [0, 9]], "shape_type": "polygon"},
        {"label": "car", "points": [[0, 0], [5, 5]], "shape_type": "rectangle"},
        {"label": "car", "points": [[4, 4], [5, 5]], "shape_type": "circle"},
        {"label": "sky", "points": [[4, 4], [5, 5], [8, 9]], "shape_type": "linestrip"},
        {"label": "sky", "points": [[4, 4]], "shape_type": "point"},
        {"label": "sky", "points": [[1, 1], [4, 3]], "shape_type": "mask", "mask": drawn_as_png()},
    ],
}
COCO = {
    "images": [
        {"id": 1, "file_name": "a.png", "width": 36, "height": 24},
        {"id": 2, "file_name": "b.png", "width": 4, "height": 3},
    ],
    "categories": [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 5, 5, 0, 9]], "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 2, "segmentation": {"size": [3, 4], "counts": [2, 3, 7]}, "iscrowd": 1},
        {"id": 3, "image_id": 2, "category_id": 2, "segmentation": {"size": [3, 4], "counts": "237"}},
    ],
}


def read_idd(file: Path) -> None:
    polygon_mask(file, load("idd_level3"))


def read_labelme(file: Path) -> None:
    assert isinstance(is_labelme(file), bool)
    labels_in(file)
    labelme_mask(file, SPACE, file.with_suffix(".png"))


def read_coco(file: Path) -> None:
    assert isinstance(is_coco(file), bool)
    content = CocoFile(file)
    for place in range(len(content.images)):
        content.mask(place, SPACE)


READERS = {"idd": (IDD, read_idd), "labelme": (LABELME, read_labelme), "coco": (COCO, read_coco)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.new("RGB", (36, 24)).save(tmp_path / "a.png")
    return tmp_path / "a.json"


@pytest.mark.parametrize("kind", READERS)
def test_the_valid_files_are_read(file: Path, kind: str) -> None:
    original, read = READERS[kind]
    assert check(file, json.dumps(original).encode(), lambda: read(file)) == 0


@fuzzed(50, 700)
@pytest.mark.parametrize("kind", READERS)
def test_changed_outlines(file: Path, kind: str, cases: int) -> None:
    original, read = READERS[kind]
    refused = 0

    @profile(cases)
    @given(changed_json(original))
    def run(content: bytes) -> None:
        nonlocal refused
        refused += check(file, content, lambda: read(file))

    run()
    assert refused > cases / 10  # most changes do harm
