"""What is measured of images and masks, against naive counts, scipy's regions and Pillow's luma."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

from datamodules.errors import DatasetError
from datamodules.splits.sample_table import Sample
from datamodules.statistics import measure, turned_over


def frame(seed):
    """An image of 64×96 pixels and its mask of three classes and void, in blocks."""
    draws = np.random.default_rng(seed)
    image = draws.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return image, np.kron(draws.integers(0, 4, (8, 12), dtype=np.uint8), np.ones((8, 8), np.uint8))


def measured(frames, target="x", **options):
    """`measure` of images and their masks, by name."""
    samples = [Sample(name, name, target, "train") for name in frames]
    given = {"read": lambda sample: frames[sample.name][0], "mask": lambda sample: frames[sample.name][1], "classes": ("x", "y", "z"), **options}  # fmt: skip
    return measure(samples=samples, **given)


def test_each_number_is_that_of_a_naive_count():
    frames = {f"{seed}": frame(seed) for seed in range(5)}
    found = measured(frames)
    assert [sample.name for sample in found.samples] == [*frames]
    assert found.sizes.tolist() == [[64, 96]] * 5
    regions = []
    for row, (image, mask) in enumerate(frames.values()):
        grey = np.asarray(Image.fromarray(image).convert("L"), dtype=float)
        assert found.pictures[row].mean() == pytest.approx(grey.mean(), abs=0.5)
        for half, part in enumerate((mask[:32], mask[32:])):
            assert found.elements[row, half].tolist() == [int((part == index).sum()) for index in range(4)]
        for index in range(3):
            regions += [(index, int(n)) for n in np.bincount(label(mask == index, np.ones((3, 3)))[0].ravel())[1:]]
    assert sorted(map(tuple, found.objects.tolist())) == sorted(regions)
    assert found.unit == "pixels"


def test_images_with_a_class_each_and_without():
    frames = {f"{seed}": frame(seed) for seed in range(2)}
    found = measured(frames, target="y", mask=None)
    assert found.elements.tolist() == [[[0, 1, 0, 0], [0, 0, 0, 0]]] * 2
    assert (found.unit, len(found.objects)) == ("images", 0)
    assert not measured(frames, target="").elements.any()


def test_equal_pixels_have_equal_hashes_whatever_the_file():
    image, mask = frame(1)
    other = image.copy()
    other[0, 0, 0] ^= 1
    four = [image, image.copy(), other, image.reshape(96, 64, 3)]
    found = measured({f"{i}": (each, mask) for i, each in enumerate(four)})
    assert found.digests[0] == found.digests[1]
    assert len(set(found.digests)) == 3


def test_what_cannot_be_read_is_named_and_left_out():
    def read(sample):
        if sample.name == "b":
            raise DatasetError("damaged")
        return np.full((4, 4, 3), 51, np.uint8)

    found = measured(dict.fromkeys("abc"), read=read, mask=None)
    assert ([sample.name for sample in found.samples], found.unreadable) == (["a", "c"], [("b", "damaged")])
    assert found.pictures.tolist() == np.full((2, 64, 64), 51).tolist()
    with pytest.raises(DatasetError, match="No image can be read, such as b: damaged"):
        measured(["b"], read=read, mask=None)


def test_images_that_are_turned_upside_down_are_counted():
    def augment(image, epoch):
        return np.ascontiguousarray(image[::-1] if epoch % 3 == 0 else image[:, ::-1])

    assert turned_over(augment, (20, 30), 9) == 3
