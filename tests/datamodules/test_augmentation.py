"""Augmentation depends on (seed, epoch, name) and on nothing else."""

from collections import Counter

import albumentations
import numpy as np
import pytest

from datamodules.augmentation import Augmentation
from datamodules.errors import DatasetError

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def flip_rotate():
    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.VerticalFlip(p=0.5),
            albumentations.Rotate(limit=(-30, 30), border_mode=4, p=1.0),
        ]
    )


def augment(augmentation, name="a", epoch=0):
    return augmentation(IMAGE, name=name, epoch=epoch)[0]


def test_none_is_the_very_image():
    assert augment(Augmentation(None, seed=0)) is IMAGE


def test_the_same_key_gives_the_same_image_whatever_came_before():
    first, second = Augmentation(flip_rotate(), seed=1), Augmentation(flip_rotate(), seed=1)
    before = IMAGE.copy()
    expected = {(name, epoch): augment(first, name, epoch) for name in "abc" for epoch in range(3)}
    for name, epoch in reversed(expected):
        np.testing.assert_array_equal(augment(second, name, epoch), expected[name, epoch])
    np.testing.assert_array_equal(IMAGE, before)


def test_seed_epoch_and_name_each_change_it():
    augmentation = Augmentation(flip_rotate(), seed=1)
    images = [
        augment(augmentation),
        augment(augmentation, epoch=1),
        augment(augmentation, name="b"),
        augment(Augmentation(flip_rotate(), seed=2)),
    ]
    assert len({image.tobytes() for image in images}) == 4


def test_two_flips_are_drawn_independently():
    augmentation = Augmentation(
        albumentations.Compose([albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)]), seed=0
    )
    kinds = {
        IMAGE.tobytes(): "none",
        IMAGE[:, ::-1].tobytes(): "horizontal",
        IMAGE[::-1].tobytes(): "vertical",
        IMAGE[::-1, ::-1].tobytes(): "both",
    }
    seen = Counter(kinds[augment(augmentation, name=str(n)).tobytes()] for n in range(800))
    # 200 of each are expected, with a standard deviation of 12.
    assert set(seen) == set(kinds.values())
    assert all(140 < count < 260 for count in seen.values())


def test_nested_choices_follow_the_key_too():
    def nested():
        return albumentations.Compose(
            [
                albumentations.OneOf(
                    [
                        albumentations.HorizontalFlip(p=1),
                        albumentations.VerticalFlip(p=1),
                        albumentations.RandomBrightnessContrast(p=1),
                    ],
                    p=0.9,
                )
            ]
        )

    first, second = Augmentation(nested(), seed=0), Augmentation(nested(), seed=0)
    names = [str(n) for n in range(30)]
    images = {name: augment(first, name) for name in names}
    assert len({image.tobytes() for image in images.values()}) > 5
    assert all(np.array_equal(augment(second, name), images[name]) for name in reversed(names))


def test_masks_turn_with_their_image_and_are_void_outside():
    transform = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.OneOf([albumentations.Rotate(limit=(45, 45), border_mode=0, p=1.0)], p=1.0),
        ]
    )
    image = np.full((20, 20, 3), 200, np.uint8)
    mask = np.full((20, 20), 3, np.uint8)
    turned, turned_mask = Augmentation(transform, seed=0, void=26)(image, name="a", epoch=0, mask=mask)
    assert set(np.unique(turned_mask)) == {3, 26}
    inside = turned[..., 0] == 200
    assert set(np.unique(turned_mask[inside])) == {3}
    assert turned_mask[0, 0] == 26
    assert turned[0, 0].tolist() == [0, 0, 0]


def test_what_the_model_does_on_its_device_is_refused():
    augmentation = Augmentation(albumentations.Compose([albumentations.Normalize()]), seed=0)
    with pytest.raises(DatasetError, match="leave out Normalize"):
        augment(augmentation)
