"""The contact sheet: rows of frames above a row of crops for each class."""

import numpy as np
import pytest

from benchmarks.synthetic_sheet import COLUMNS, CROP, FRAME, GAP, PER_CLASS, sheet
from datamodules.crop_rules import CROP_CLASSES
from datamodules.synthetic.generate import generate


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    root = tmp_path_factory.mktemp("streets")
    generate(root, seed=0, drives=3, frames_per_drive=1)
    return sheet(root)


def test_four_frames_a_row_above_a_row_of_crops_for_each_class(image):
    # Of three drives one has a frame of 4:3, which is left out: two frames, one row.
    assert image.shape == (104 + len(CROP_CLASSES) * 52, 4 * 182, 3)
    assert (FRAME, CROP, GAP, COLUMNS, PER_CLASS) == ((102, 180), 50, 2, 4, 14)
    assert image.dtype == np.uint8


def test_images_are_separated_by_white_lines(image):
    assert (image[102:104] == 255).all()
    assert (image[:102, 180:182] == 255).all()
    assert (image[104:154, 50:52] == 255).all()
    for column in range(2):
        assert image[:102, column * 182 : column * 182 + 180].std() > 10
    assert (image[:104, 364:] == 255).all()  # there are no more frames
