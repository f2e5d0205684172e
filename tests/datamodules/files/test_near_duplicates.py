"""Near-duplicates: copies that are planted in another split are found, and nothing else."""

import cv2
import numpy as np
import pytest

from datamodules.files.near_duplicates import near_duplicates, small_picture
from datamodules.splits.sample_table import Sample

SCENES = 12


def scene(number: int) -> np.ndarray:
    """A picture of 120×160 with shapes of all sizes."""
    draws = np.random.default_rng(number)
    image = np.full((120, 160, 3), draws.integers(60, 200, 3), np.uint8)
    for _ in range(40):
        centre, axes = draws.integers(0, (160, 120)).tolist(), draws.integers(3, 30, 2).tolist()
        cv2.ellipse(image, centre, axes, int(draws.integers(180)), 0, 360, draws.integers(0, 256, 3).tolist(), -1)
    return image


def reencoded(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)


COPIES = {
    "re-encoded": (reencoded, 1.0, False),
    "smaller": (lambda image: cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA), 1.0, False),
    "larger": (lambda image: cv2.resize(image, (240, 180)), 1.0, False),
    "cropped by 10 %": (lambda image: image[12:, :144], 0.81, False),
    "cropped by 15 %": (lambda image: reencoded(image[9:111, 12:148]), 0.7225, False),
    "mirrored": (lambda image: image[:, ::-1].copy(), 1.0, True),
}


def found(images, samples):
    return near_duplicates([small_picture(image) for image in images], samples)


def rows(*splits, groups=None):
    """A sample for each split, named by its place, of a group of its own unless groups are given."""
    return [Sample(f"{i:02}", groups[i] if groups else f"{i:02}", "mask", split) for i, split in enumerate(splits)]


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_in_another_split_is_the_only_pair(kind):
    copied, share, mirrored = COPIES[kind]
    images = [*map(scene, range(SCENES)), copied(scene(3))]
    samples = rows(*["train", "val"] * (SCENES // 2), "train")
    assert samples[3].split == "val"
    (pair,) = found(images, samples)
    assert {pair.first, pair.second} == {"03", f"{SCENES}"}
    assert dict(zip((pair.first, pair.second), pair.splits, strict=True)) == {"03": "val", f"{SCENES}": "train"}
    assert 0.9 <= pair.correlation <= 1
    assert pair.mirrored == mirrored
    assert min(pair.share, 1 / pair.share) == pytest.approx(share, abs=0.05)


def test_the_first_of_a_pair_shows_a_part_of_the_second():
    (pair,) = found([scene(0), scene(0)[12:, :144]], rows("train", "val"))
    assert (pair.first, pair.second) == ("01", "00")


def test_pairs_of_one_split_or_of_one_group_are_left_out():
    images = [scene(0), scene(0), scene(1), scene(1)]
    assert found(images, rows("train", "train", "val", "val")) == []
    assert found(images, rows("train", "val", "train", "val", groups=["a", "a", "b", "b"])) == []
    assert found(images, rows("train", "train", "train", "train")) == []
    pairs = found(images, rows("train", "val", "train", "val", groups=["a", "b", "a", "a"]))
    assert [{pair.first, pair.second} for pair in pairs] == [{"00", "01"}]


def test_each_pair_is_listed_once_and_the_surest_first():
    images = [scene(0), scene(1), cv2.resize(scene(0)[8:, 8:], (60, 40)), scene(1)]
    pairs = found(images, rows("train", "train", "test", "val"))
    assert [{pair.first, pair.second} for pair in pairs] == [{"01", "03"}, {"00", "02"}]
    assert pairs[0].correlation == 1


def test_plain_surfaces_are_not_alike():
    draws = np.random.default_rng(0)
    noisy = [np.uint8(128 + draws.normal(0, 1, (64, 64, 3))) for _ in range(4)]
    assert found([*noisy, np.zeros((64, 64, 3), np.uint8)], rows("train", "val", "train", "val", "test")) == []


def test_nothing_is_found_in_nothing():
    assert near_duplicates([], []) == []


@pytest.mark.parametrize("shape", [(1, 1), (30, 900), (1080, 1920)])
def test_a_small_picture_has_one_shape(shape):
    assert small_picture(np.full((*shape, 3), 7, np.uint8)).tolist() == [[7] * 64] * 64
