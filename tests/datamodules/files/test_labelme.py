"""Masks from LabelMe's files, worked out by hand on a grid of a few pixels."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from datamodules.files.idd_polygons import AnnotationError
from datamodules.files.labelme import is_labelme, labelme_mask, labels_in
from label_spaces.space import LabelSpace

SPACE = LabelSpace("mine", ("background", "road", "car"))
NO_BACKGROUND = LabelSpace("mine", ("road", "car"), labels={"sky": 2})


def square(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


@pytest.fixture
def draw(tmp_path):
    def draw(*shapes, space=SPACE, size=(4, 6), name="a.jpg"):
        content = {"version": "5.4.1", "shapes": shapes, "imagePath": name, "imageData": None}
        content |= {"imageHeight": size[0], "imageWidth": size[1]} if size else {}
        (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
        return labelme_mask(tmp_path / "a.json", space, tmp_path / "a.jpg").tolist()

    return draw


def test_shapes_are_drawn_in_their_order_on_background(draw):
    road = square("road", [[0, 2], [5, 2], [5, 3], [0, 3]])
    car = square("car", [[1, 1], [2, 1], [2, 2], [1, 2]])
    assert draw(road, car) == [[0, 0, 0, 0, 0, 0], [0, 2, 2, 0, 0, 0], [1, 2, 2, 1, 1, 1], [1, 1, 1, 1, 1, 1]]
    assert draw(car, road)[2] == [1] * 6


def test_without_a_class_background_pixels_of_no_shape_are_void(draw):
    shapes = square("car", [[0, 0], [0, 0]], "rectangle"), square("__ignore__", [[1, 0], [1, 0]], "rectangle")
    assert draw(*shapes, square("sky", [[3, 0], [2, 0]], "rectangle"), space=NO_BACKGROUND)[0] == [1, 2, 2, 2, 2, 2]
    assert draw(square("car", [[5, 0], [0, 3]], "rectangle"), shapes[1])[0] == [2, 3, 2, 2, 2, 2]


def test_other_types_of_shapes(draw):
    circle = np.array(draw(square("car", [[10, 10], [13, 14]], "circle"), size=(21, 21)))
    rows, columns = np.nonzero(circle)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 15, 5, 15)  # a radius of 5
    assert circle.sum() / 2 == pytest.approx(np.pi * 5.5**2, rel=0.1)
    line = np.array(draw(square("car", [[0, 10], [20, 10]], "linestrip"), size=(21, 21)))
    assert (line[:, 10] == 2).sum() == 10  # pixels wide
    png = io.BytesIO()
    Image.fromarray(np.array([[True, False], [True, True]])).save(png, "PNG")
    mask = square("car", [[1, 2], [2, 3]], "mask", mask=base64.b64encode(png.getvalue()).decode())
    assert draw(mask) == [[0] * 6, [0] * 6, [0, 2, 0, 0, 0, 0], [0, 2, 2, 0, 0, 0]]
    assert draw(square("car", [[0, 0], [5, 0], [5, 3], [0, 3]], "rectangle")) == [[2] * 6] * 4  # four corners


def test_the_size_of_the_image_where_the_file_has_none(draw, tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg")
    assert np.shape(draw(size=None)) == (4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert np.shape(draw(size=None)) == (6, 4)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([square("bus", [[0, 0]] * 3), square("van", [[0, 0]] * 3)], r"it has the labels 'bus', 'van', which mine does not have"),
        ([square("car", [[0, 0], [1, 1]])], "a shape of the type polygon has 2 points; it needs 3"),
        ([square("car", [[0, 0], [1, 1]], "points")], "it has a shape of the type points, which cannot be drawn; types that can: polygon, "),
        ([square("car", [[0, "x"]] * 3)], r"shape 0 \(car\) needs points, pairs of numbers"),
        ([square("car", [[0, 0], [1, 1]], "mask", mask="%")], r"shape 0 \(car\) is no mask"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_named_with_the_file(draw, shapes, words):
    with pytest.raises(AnnotationError, match=rf"a\.json: {words}"):
        draw(*shapes)


def test_another_image_and_another_file_are_named(draw, tmp_path):
    assert np.shape(draw(name="..\\Pictures\\A.png")) == (4, 6)
    with pytest.raises(AnnotationError, match=r"its imagePath is b\.jpg, another image than a\.jpg"):
        draw(name="b.jpg")
    (tmp_path / "b.json").write_text('{"shapes": [{"label": "car"}]}')
    assert (is_labelme(tmp_path / "a.json"), is_labelme(tmp_path / "b.json")) == (True, False)
    with pytest.raises(AnnotationError, match=r"b\.json: it is not a file of LabelMe"):
        labels_in(tmp_path / "b.json")
    (tmp_path / "b.json").write_text("[")
    with pytest.raises(AnnotationError, match=r"b\.json: it cannot be read as JSON"):
        labels_in(tmp_path / "b.json")


def test_labels_without_those_of_labelme_itself(draw, tmp_path):
    draw(*(square(label, [[0, 0]] * 3) for label in ("road", "car", "__ignore__", "_background_")))
    assert labels_in(tmp_path / "a.json") == {"road", "car"}


PROGRAM = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n(canary) (w) file closefile\n%%EOF\n"


def bomb():
    """A PNG of a few kB of 20000 × 20000 pixels."""
    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    "shape",
    [
        square("car", [[1, 1], [3, 3]], "mask", mask="\ud800"),
        square("car", [[1, 1], [3, 3]], "mask", mask="no base64"),
        square("car", [[1, 1], [3, 3]], "mask", mask=7),
        square("car", [[1, 1], [3, 3]], "mask", mask=base64.b64encode(PROGRAM).decode()),
        square("car", [[1, 1], [3, 3]], "mask", mask=base64.b64encode(bomb()).decode()),
        square("car", [[-(2.0**40), 1], [3, 3]], "mask", mask=base64.b64encode(bomb()).decode()),
        square("car", [[0, 0], [10**400, 5], [0, 9]]),
    ],
)
def test_a_shape_that_does_harm_is_named(draw, shape):
    with pytest.raises(AnnotationError, match=r"a\.json: shape 0 \(car\)"):
        draw(shape)


def test_a_mask_far_outside_is_named(draw):
    one = io.BytesIO()
    Image.new("1", (1, 1)).save(one, "PNG")
    with pytest.raises(AnnotationError, match=r"shape 0 \(car\) is no mask"):
        draw(square("car", [[-(2.0**40), 1], [3, 3]], "mask", mask=base64.b64encode(one.getvalue()).decode()))


def test_a_postscript_picture_in_a_shape_is_not_opened_as_one(draw, monkeypatch):
    """Pillow gives such a picture to another program."""
    monkeypatch.setattr("PIL.EpsImagePlugin.EpsImageFile.load", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(AnnotationError, match="is no mask"):
        draw(square("car", [[1, 1], [3, 3]], "mask", mask=base64.b64encode(PROGRAM).decode()))


@pytest.mark.parametrize("size", [(10, 2**31), (10, 10**400), (20_000, 20_000)])
def test_a_size_beyond_that_of_images_is_refused(draw, size):
    with pytest.raises(AnnotationError, match=r"a\.json: the image size .* is not that of up to 178956970"):
        draw(square("car", [[0, 0]] * 3), size=size)


def test_a_file_that_is_nested_without_end_is_named(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    assert not is_labelme(tmp_path / "a.json")
    with pytest.raises(AnnotationError, match=r"a\.json: it cannot be read as JSON"):
        labels_in(tmp_path / "a.json")
