"""What is measured of images and masks, against naive counts, scipy's regions and Pillow's luma."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

from datamodules.errors import DatasetError
from datamodules.statistics import measure, turned_over

VOID = 3


def frame(seed):
    """An image of 64×96 pixels and its mask of three classes and void, in blocks."""
    draws = np.random.default_rng(seed)
    image = draws.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return image, np.kron(draws.integers(0, 4, (8, 12), dtype=np.uint8), np.ones((8, 8), np.uint8))


def test_each_number_is_that_of_a_naive_count():
    frames = {name: frame(name) for name in range(5)}
    found = measure(lambda name: frames[name][0], lambda name: frames[name][1], [*frames], VOID)
    assert found.rows.tolist() == [0, 1, 2, 3, 4]
    assert found.sizes.tolist() == [[64, 96]] * 5
    regions = []
    for row, (image, mask) in frames.items():
        grey = np.asarray(Image.fromarray(image).convert("L"), dtype=float) / 255
        assert found.brightness[row] == pytest.approx(grey.mean(), abs=0.003)
        assert found.upper[row] == pytest.approx(grey[:32].mean() - grey[32:].mean(), abs=0.004)
        for half, part in enumerate((mask[:32], mask[32:])):
            assert found.pixels[row, half].tolist() == [int((part == index).sum()) for index in range(VOID + 1)]
        for index in range(VOID):
            regions += [(index, int(n)) for n in np.bincount(label(mask == index, np.ones((3, 3)))[0].ravel())[1:]]
    assert sorted(map(tuple, found.regions.tolist())) == sorted(regions)


def test_equal_pixels_have_equal_hashes_whatever_the_file():
    image = frame(1)[0]
    other = image.copy()
    other[0, 0, 0] ^= 1
    found = measure(lambda each: each, None, [image, image.copy(), other, image.reshape(96, 64, 3)], 0)
    assert found.digests[0] == found.digests[1]
    assert len(set(found.digests)) == 3
    assert found.pixels.shape == (4, 2, 1)
    assert not found.pixels.any()


def test_what_cannot_be_read_is_named_and_left_out():
    def read(name):
        if name == "b":
            raise DatasetError("damaged")
        return np.full((4, 4, 3), 51, np.uint8)

    found = measure(read, None, ["a", "b", "c"], 2)
    assert (found.rows.tolist(), found.unreadable) == ([0, 2], {1: "damaged"})
    assert found.brightness.tolist() == pytest.approx([0.2, 0.2])
    assert found.contrast.tolist() == pytest.approx([0, 0])


def test_images_that_are_turned_upside_down_are_counted():
    def augment(image, epoch):
        return np.ascontiguousarray(image[::-1] if epoch % 3 == 0 else image[:, ::-1])

    assert turned_over(augment, (20, 30), 9) == 3
