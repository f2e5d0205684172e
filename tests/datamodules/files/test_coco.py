"""Masks from COCO's files: run lengths by hand, polygons on a grid of a few pixels, and images by name."""

import json

import numpy as np
import pytest

from datamodules.files.coco import CocoFile, decode_counts, decode_rle, is_coco, list_coco
from datamodules.files.idd_polygons import AnnotationError
from label_spaces.space import LabelSpace

SPACE = LabelSpace("mine", ("background", "road", "car"))
CATEGORIES = [{"id": 9, "name": "car"}, {"id": 2, "name": "road"}, {"id": 1, "name": "unused"}]


def encoded(lengths):
    """COCO's text of run lengths, written down anew: the naive reference."""
    text = ""
    for place, length in enumerate(lengths):
        value = length - (lengths[place - 2] if place > 2 else 0)
        while True:
            digit, value = value & 31, value >> 5
            more = value not in (0, -1) or (value == 0 and digit & 16) or (value == -1 and not digit & 16)
            text += chr((digit | 32 if more else digit) + 48)
            if not more:
                break
    return text


def test_run_lengths_go_down_the_columns():
    mask = decode_rle({"size": [2, 3], "counts": [1, 2, 3]})  # one outside, two inside, three outside
    assert mask.astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert decode_rle({"size": [2, 2], "counts": [0, 4]}).all()
    with pytest.raises(ValueError, match="add up to 3, not to 2 × 3 pixels"):
        decode_rle({"size": [2, 3], "counts": [1, 2]})


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("123", [1, 2, 3]),  # digits below 16, each alone
        ("1230", [1, 2, 3, 2]),  # the fourth is 2 + 0
        ("555M", [5, 5, 5, 2]),  # M is 29, -3 in five bits with a sign: 5 - 3
        ("T1", [36]),  # T is 36: digit 4 and more to come; then 1 × 32
        ("`0", None), ("P1", [32]),
    ],
)  # fmt: skip
def test_compressed_run_lengths_by_hand(text, lengths):
    if lengths is None:
        lengths = [16]  # ` is 48: digit 16 and more to come, because bit 4 of the last one is the sign; then 0
    assert decode_counts(text) == lengths


def test_compressed_run_lengths_of_random_masks():
    draws = np.random.default_rng(0)
    for _ in range(20):
        lengths = draws.integers(1, 5000, draws.integers(1, 40)).tolist()
        assert decode_counts(encoded(lengths)) == lengths
    with pytest.raises(ValueError, match="hold the character"):
        decode_counts("1 2")


def annotation(category, segmentation, image=5, **more):
    return {
        "id": 70,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "bbox": [0, 0, 1, 1],
        **more,
    }


@pytest.fixture
def coco(tmp_path):
    def coco(*annotations, images=(("a.jpg", 5),), size=(4, 6), name="instances.json"):
        content = {
            "images": [{"id": i, "file_name": file, "height": size[0], "width": size[1]} for file, i in images],
            "annotations": annotations,
            "categories": CATEGORIES,
        }
        (tmp_path / name).write_text(json.dumps(content))
        return CocoFile(tmp_path / name)

    return coco


def test_later_annotations_cover_earlier_ones_and_crowds(coco):
    road = annotation(2, [[0, 2, 5, 2, 5, 3, 0, 3]])
    car = annotation(9, [[1, 1, 2, 1, 2, 2, 1, 2], [5, 0, 5, 0, 5, 0]])
    crowd = annotation(9, {"size": [4, 6], "counts": [0, 24]}, iscrowd=1)
    assert coco(road, car).mask(0, SPACE).tolist() == [
        [0, 0, 0, 0, 0, 2],
        [0, 2, 2, 0, 0, 0],
        [1, 2, 2, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
    ]
    assert coco(car, road).mask(0, SPACE)[2].tolist() == [1] * 6
    assert coco(road, crowd).mask(0, SPACE)[1:].tolist() == [[2] * 6, [1] * 6, [1] * 6]
    assert coco(annotation(9, {"size": [4, 6], "counts": encoded([1, 2, 21])})).mask(0, SPACE)[:, 0].tolist() == [
        0,
        2,
        2,
        0,
    ]


def test_an_image_without_annotations_is_background_or_void(coco):
    assert coco().mask(0, SPACE).tolist() == [[0] * 6] * 4
    assert coco().mask(0, LabelSpace("mine", ("road", "car"))).tolist() == [[2] * 6] * 4


def test_categories_are_those_that_are_used_by_their_ids(coco):
    assert coco(annotation(9, [[0] * 6]), annotation(2, [[0] * 6])).categories == ["road", "car"]


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([], r"annotation 70 \(car\) has no outline, only a box"),
        ([[0, 0, 1, 1]], "a polygon needs three or more pairs of numbers"),
        ([[0, 0, 1, 1, 2]], "cannot be drawn"),
        ({"size": [4, 5], "counts": [20]}, "cannot be drawn"),
        ({"size": [4, 6], "counts": [5]}, r"add up to 5, not to 4 × 6 pixels"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "cannot be drawn"),  # a terabyte
        ({"size": [float("inf"), 6], "counts": [5]}, "cannot be drawn"),
        ({"size": [4, 6], "counts": [float("inf")]}, "cannot be drawn"),
        ({"size": [4, 6], "counts": "o" * 10**6}, "a number of too many digits"),  # minutes
        ([[0, 0, 10**400, 1, 2, 2]], "a polygon needs three or more pairs of numbers"),
    ],
)
def test_what_cannot_be_drawn_is_named(coco, segmentation, words):
    with pytest.raises(AnnotationError, match=rf"instances\.json: .*{words}"):
        coco(annotation(9, segmentation)).mask(0, SPACE)


@pytest.mark.parametrize("width", [2**31, 10**400, None, "6", -6])
def test_a_size_beyond_that_of_images_is_refused(coco, tmp_path, width):
    coco()
    content = json.loads((tmp_path / "instances.json").read_text())
    content["images"][0]["width"] = width
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"instances\.json: the image .* has no width and height"):
        CocoFile(tmp_path / "instances.json").mask(0, SPACE)


def test_other_files_are_not_instances(coco, tmp_path):
    coco()
    assert is_coco(tmp_path / "instances.json")
    for text, words in (
        ("[", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "not a file of COCO"),
        ('{"images": []}', "not a file of COCO"),
    ):
        (tmp_path / "b.json").write_text(text)
        assert not is_coco(tmp_path / "b.json")
        with pytest.raises(AnnotationError, match=rf"b\.json: it .*{words}"):
            CocoFile(tmp_path / "b.json")
    with pytest.raises(AnnotationError, match="which mine does not have"):
        coco(annotation(1, [[0] * 6])).mask(0, SPACE)


def test_images_are_found_by_the_end_of_their_paths(coco, tmp_path):
    files = {
        "train/_annotations.coco.json": coco(images=(("a.jpg", 1), ("deep\\B.JPG", 2)), name="1.json"),
        "valid/_annotations.coco.json": coco(images=(("a.jpg", 1), ("gone.jpg", 2)), name="2.json"),
    }
    images = ["train/a.jpg", "train/deep/b.jpg", "valid/a.jpg", "valid/extra.jpg", "test/c.jpg"]
    splits = {
        name: {"train": "train", "valid": "val", "test": "test"}[name.split("/")[0]] for name in (*images, *files)
    }
    found = list_coco(tmp_path, files, images, splits)
    assert [(pair.name, pair.truth, pair.split) for pair in found.pairs] == [
        ("train/a.jpg", "train/_annotations.coco.json#0", "train"),
        ("train/deep/b.jpg", "train/_annotations.coco.json#1", "train"),
        ("valid/a.jpg", "valid/_annotations.coco.json#0", "val"),
    ]
    assert [pair.name for pair in found.without_truth] == ["test/c.jpg"]
    assert [(each.name, each.cause or each.reason.split(",")[0]) for each in found.alone] == [
        ("valid/_annotations.coco.json (gone.jpg)", "has no image"),
        ("valid/extra.jpg", "is in none of train/_annotations.coco.json"),
    ]
    (alone,) = list_coco(tmp_path, {"x.json": coco()}, ["m/a.jpg", "n/a.jpg"], {}).alone[:1]
    assert alone.reason == "may be one of several images: m/a.jpg, n/a.jpg"
