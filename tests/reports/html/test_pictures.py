import base64
import io

import numpy as np
from PIL import Image

from label_spaces.space import LabelSpace
from reports.html.pictures import HATCH, RIGHT, errors, legend, overlay, strip, thumbnail

SPACE = LabelSpace("toy", ("road", "car"), colours=((128, 64, 128), (0, 0, 142)))


def pixels(picture):
    assert picture.uri.startswith("data:image/webp;base64,")
    shown = np.array(Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",")[1]))).convert("RGB"))
    assert shown.shape == (picture.height, picture.width, 3)
    return shown


def test_errors_are_grey_where_right_coloured_where_wrong_and_hatched_without_truth():
    truth, prediction = np.array([[0, 0, 1, SPACE.void]], np.uint8), np.array([[0, 1, 0, 0]], np.uint8)
    shown = errors(truth, prediction, SPACE)[0].tolist()
    assert shown[:3] == [list(RIGHT), [0, 0, 142], [128, 64, 128]]
    assert tuple(shown[3]) in HATCH
    void = errors(np.full((8, 8), SPACE.void, np.uint8), np.zeros((8, 8), np.uint8), SPACE)
    assert {tuple(each) for each in void.reshape(-1, 3).tolist()} == set(HATCH)


def test_a_strip_has_four_panels_of_one_size():
    truth = np.zeros((400, 640), np.uint8)
    truth[:, 320:] = 1
    image = np.full((800, 1280, 3), 77, np.uint8)  # the frame's own size
    shown = [pixels(picture) for picture in strip(image, truth, np.ones_like(truth), SPACE)]
    assert [panel.shape for panel in shown] == [(200, 320, 3)] * 4
    assert abs(int(shown[0].mean()) - 77) <= 2
    assert shown[1][0, [0, 319]].tolist() == [[128, 64, 128], [0, 0, 142]]
    assert (shown[2] == (0, 0, 142)).all()
    assert shown[3][0, [0, 319]].tolist() == [[0, 0, 142], list(RIGHT)]


def test_a_thumbnail_keeps_its_shape_and_a_small_image_its_size():
    (wide,) = thumbnail(np.zeros((100, 288, 3), np.uint8))
    assert (wide.width, wide.height) == (144, 50)
    (small,) = thumbnail(np.zeros((20, 30, 3), np.uint8))
    assert (small.width, small.height) == (30, 20)


def test_the_legend_names_the_colours():
    assert legend(SPACE) == [("road", "#804080"), ("car", "#00008e")]


def test_a_mask_lies_over_its_image_and_void_leaves_it_as_it_is():
    image, mask = np.full((30, 60, 3), 100, np.uint8), np.full((30, 60), SPACE.void, np.uint8)
    mask[:, 30:] = 1
    shown = pixels(overlay(image, mask, SPACE)).astype(int)
    assert np.abs(shown[5:25, 5:25] - 100).mean() < 3
    assert np.abs(shown[5:25, 35:55] - (50, 50, 121)).mean() < 6
    wide = overlay(np.zeros((100, 480, 3), np.uint8), np.zeros((100, 480), np.uint8), SPACE)
    assert (wide.width, wide.height) == (240, 50)
