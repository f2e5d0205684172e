"""Sizes of boxes, against values worked out by hand."""

import numpy as np
import pytest

from datamodules.box_sizes import box_extents, box_sizes
from datamodules.errors import DatasetError
from tests.datamodules.conftest import polygons


@pytest.fixture
def frame(tmp_path):
    """A frame of 40 × 20 pixels (width × height) with a rider on a motorcycle and a point-like sign."""
    file = tmp_path / "a.json"
    file.write_text(
        polygons(
            [
                {"label": "motorcycle", "polygon": [[10, 8], [18, 8], [18, 16], [10, 16]]},
                {"label": "rider", "polygon": [[11, 2], [17, 2], [17, 12], [11, 12]]},
                {"label": "traffic sign", "polygon": [[30, 5], [30.25, 5], [30, 5.25]]},
            ],
            (20, 40),
        )
    )
    return file


def test_boxes_and_frames_in_pixels(frame):
    names = ["a#0", "a#2"]
    assert box_extents(lambda _: frame, names).tolist() == [[8, 8, 40, 20], [1, 1, 40, 20]]
    assert box_extents(lambda _: frame, names[:1], riders="merge").tolist() == [[8, 14, 40, 20]]
    with pytest.raises(DatasetError, match="has no object 9"):
        box_extents(lambda _: frame, ["a#9"])


def test_box_sizes_are_logarithms_of_pixels_and_shares():
    found = box_sizes(np.array([[8.0, 5.0, 40.0, 20.0]]))
    np.testing.assert_allclose(np.exp(found), [[8, 5, 0.2, 0.25]])
