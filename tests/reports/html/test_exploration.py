"""The page of a dataset: its numbers are those of explore.json, and names are shown, whatever they are."""

import numpy as np
import pytest

from datamodules.description import describe, shown
from label_spaces.space import LabelSpace
from reports.findings import findings
from reports.html.exploration import Pictures, page
from reports.html.pictures import legend, masked, thumbnail
from tests.datamodules.test_description import bare, explored
from tests.reports.html.conftest import AWKWARD, Page

NEAR = [
    {"first": "a/1", "second": "b/0", "splits": ["train", "val"], "correlation": 0.97, "share": 0.8, "mirrored": True}
]
ERRORS = {"judged": 3, "left_out": 1, "count": 9, "candidates": [{"sample": "a/0", "true": AWKWARD, "predicted": "sky", "score": 4.5, "pixels": 90, "box": [1, 2, 3, 4], "probability": None}]}  # fmt: skip
SPACE = LabelSpace("streets", ("road", "sky", AWKWARD))


def content_of(found, **changes):
    """explore.json of some frames."""
    data = {"name": "streets", "roots": ["/data/x"], "task": "segmentation", "other_task": "classification", "label_space": "streets", "unit": found.unit}  # fmt: skip
    content = {
        "schema": 1, "date": "2026-01-02T03:04:05+00:00", "command": "python explore.py data=idd", "data": data, "obstacle": None, **describe(found, (10, 20)),
        "shown": shown(found), "notes": ["Mind <this>."], "skipped": [{"sample": "z/9", "reason": "damaged"}],
        "augmentation": {"name": "flip_rotate", "sample": "a/0", "epochs": 6, "upside_down": 31, "draws": 60}, "near": NEAR, "label_errors": None, **changes,
    }  # fmt: skip
    return {**content, "findings": findings(content)}


def pictures():
    image, mask = np.full((10, 20, 3), 90, np.uint8), np.zeros((10, 20), np.uint8)
    names = ("a/0", "a/1", "b/0", "c/0")
    framed = masked(image, mask, SPACE)
    return Pictures(dict.fromkeys(names, framed), {name: thumbnail(image)[0] for name in names}, [framed] * 7, [framed], legend(SPACE))  # fmt: skip


@pytest.fixture
def content():
    return content_of(explored(classes=SPACE.classes))


def test_numbers_are_those_of_the_file(content):
    found = Page(page(content, pictures()))
    assert found.tables["splits"][1:] == [["train", "2", "1", "0"], ["val", "1", "1", "0"], ["test", "1", "1", "1"]]
    rows = {row[0]: row[1:] for row in found.tables["class-table"][1:]}
    assert rows["road"] == ["220", str(220 / 400), "2", "1", "60", str(60 / 160), "1", "1"]
    assert rows[AWKWARD] == ["0", "0.0", "0", "0"] * 2
    assert found.tables["position-table"][1:] == [["road", str(20 / 280)], ["sky", "1.0"]]
    assert found.tables["object-table"][1][:5] == ["road", "3", "14.0", "30.0", "46.0"]
    for text in (
        "4 frames of 3 classes",
        "upside down in 31 of 60",
        "task=classification",
    ):
        assert text in found.text


def test_names_are_shown_and_never_run(content):
    found = Page(page(content, pictures()))
    assert AWKWARD in found.text
    assert "Mind <this>." in found.text
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "style"]


def test_pictures_and_the_page_without_them(content):
    with_them, without = Page(page(content, pictures())), Page(page(content, Pictures()))
    images = [attributes for tag, attributes in with_them.tags if tag == "img"]
    # Four frames with masks, seven of the augmentation, the thumbnails of both brightness lists, two findings and a pair.
    assert len(images) == 2 * 4 + 2 * 7 + 4 + 4 + 2 + 1 + 2
    assert {attributes["src"][:22] for attributes in images} == {"data:image/webp;base64"}
    assert "img" not in [tag for tag, _ in without.tags]
    assert "c/0: 26" in without.text


def test_images_without_classes():
    content = content_of(bare(), obstacle="no masks", augmentation=None)
    found = Page(page(content, Pictures()))
    assert "class-table" not in found.tables
    assert found.tables["splits"][1][:2] == ["unsplit", "4"]
    assert "explored without classes" in found.text
    assert "aug=none" in found.text


def test_nearly_equal_images_and_label_errors():
    content = content_of(explored(classes=SPACE.classes), label_errors=ERRORS)
    found = Page(page(content, pictures()))
    assert "train and val, correlation 0.970, mirrored, the first shows 80 % of the second" in found.text
    assert "of 3 frames that were judged (1 could not be), 9 regions" in found.text
    assert found.tables["label-error-table"][1] == ["a/0", AWKWARD, "sky", "4.5", "90", "1, 2, 3, 4"]
    assert "There are too many images" in Page(page({**content, "near": None}, Pictures())).text
