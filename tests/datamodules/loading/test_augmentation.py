"""Augmentation depends on (seed, epoch, name) and on nothing else."""

import contextlib
from collections import Counter

import albumentations
import numpy as np
import pytest

from datamodules.errors import DatasetError
from datamodules.loading.augmentation import Augmentation, check_training_size
from tests.datamodules.conftest import AUGMENTATIONS, shipped

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


VOID = 26
# What a user may type instead: all of them can show what was outside of the picture, or leave parts of it out.
OTHERS = {
    "affine": lambda: albumentations.Affine(scale=(0.5, 1.5), rotate=(-90, 90), shear=(-20, 20), border_mode=0, p=1),
    "perspective": lambda: albumentations.Perspective(scale=(0.05, 0.2), keep_size=True, p=1),
    "elastic": lambda: albumentations.ElasticTransform(alpha=60, sigma=8, border_mode=0, p=1),
    "grid": lambda: albumentations.GridDistortion(distort_limit=(-0.4, 0.4), border_mode=0, p=1),
    "lens": lambda: albumentations.OpticalDistortion(distort_limit=(-0.5, 0.5), border_mode=0, p=1),
    "shift": lambda: albumentations.Affine(translate_percent=(-0.4, 0.4), border_mode=0, p=1),
    "pad": lambda: albumentations.PadIfNeeded(100, 100, border_mode=0, p=1),
    "padded crop": lambda: albumentations.RandomCrop(90, 90, pad_if_needed=True, border_mode=0, p=1),
    "crop and pad": lambda: albumentations.CropAndPad(percent=(-0.2, 0.3), keep_size=True, border_mode=0, p=1),
    "resized crop": lambda: albumentations.RandomResizedCrop((40, 50), scale=(0.3, 1), p=1),
    "small side": lambda: albumentations.SmallestMaxSize(33, p=1),
    "dropout": lambda: albumentations.CoarseDropout(p=1),
    "turn": lambda: albumentations.SomeOf([albumentations.D4(p=1), albumentations.SafeRotate((-45, 45), p=1)], n=1),
}


def frame(draws):
    """A picture of random size whose areas are white where the class's number is odd, and its mask; void is black."""
    height, width = draws.integers(16, 90, 2)
    some = draws.choice(VOID + 1, draws.integers(1, 6), replace=False)
    areas = draws.choice(some, (height // 8 + 1, width // 8 + 1))
    mask = areas.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)
    return np.repeat(mask[..., None] % 2 * 255, 3, axis=2).astype(np.uint8), mask


def inside(mask):
    """Where the pixel and all around it are of one class: at borders, also those just out of view, pictures are mixed."""
    around = np.pad(mask, 1, constant_values=255)
    height, width = mask.shape
    same = [around[y : y + height, x : x + width] == mask for y in range(3) for x in range(3)]
    return np.all(same, axis=0)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_option_masks_gain_no_class_and_stay_with_their_picture(name, seed):
    draws = np.random.default_rng(seed)
    image, mask = frame(draws)
    size = image.shape[:2]
    if name == "road":  # which may cut its pictures out of larger ones
        size = tuple(int(draws.integers(side // 2, side + 1)) for side in size)
    before = image.copy(), mask.copy()
    augmentation, compared = Augmentation(shipped(name, size), seed=seed, void=VOID), 0
    for epoch in range(5):
        turned, ids = augmentation(image, name="a", epoch=epoch, mask=mask)
        assert (turned.dtype, ids.dtype) == (np.uint8, np.uint8)
        assert turned.shape[:2] == ids.shape == size
        assert set(np.unique(ids)) <= {*np.unique(mask), VOID}
        # Colours may change, but not which of black and white is the brighter.
        grey, odd, inner = turned.mean(axis=2), ids % 2 == 1, inside(ids)
        if len(set(odd[inner])) == 2:
            np.testing.assert_array_equal((grey > (grey.min() + grey.max()) / 2)[inner], odd[inner])
            compared += inner.sum()
    assert compared > 100 or len(set((mask % 2).flat)) == 1
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@pytest.mark.parametrize("name", ["flip_rotate", "road"])
def test_masks_are_not_shifted_against_their_picture(name):
    """Not even by half a pixel, which shows at borders alone: there a mask that is read from pixels' corners has 4 % other pixels."""
    differ = []
    for seed in range(20):
        image, mask = frame(np.random.default_rng(seed))
        if len(np.unique(mask % 2)) == 2:
            augmentation = Augmentation(shipped(name, image.shape[:2]), seed=seed, void=VOID)
            for epoch in range(5):
                turned, ids = augmentation(image, name="a", epoch=epoch, mask=mask)
                grey = turned.mean(axis=2)
                differ.append(np.mean((grey > (grey.min() + grey.max()) / 2) != (ids % 2 == 1)))
    assert np.mean(differ) < 0.01


@pytest.mark.parametrize("name", OTHERS)
def test_a_users_own_transforms_bring_no_class_but_void_either(name):
    for seed in range(10):
        image, mask = frame(np.random.default_rng(seed))
        augmentation = Augmentation(albumentations.Compose([OTHERS[name]()]), seed=seed, void=VOID)
        turned, ids = augmentation(image, name="a", epoch=0, mask=mask)
        assert (turned.dtype, ids.dtype) == (np.uint8, np.uint8)
        assert turned.shape[:2] == ids.shape
        assert set(np.unique(ids)) <= {*np.unique(mask), VOID}


@pytest.mark.parametrize(
    ("limits", "size", "message"),
    [
        ([-0.3, 0.5], (20, 28), None),
        ([-0.31, 0.5], (21, 30), r"shrink to as little as \[20,27\], from which \[21,30\].*aug\.scale_limit=\[-0\.25,…\]"),
        ([-0.5, 0.0], (10, 21), r"shrink to as little as \[15,20\], from which \[10,21\]"),
    ],
)  # fmt: skip
def test_scales_that_leave_less_than_the_crop_are_refused(limits, size, message):
    steps = [albumentations.RandomScale(scale_limit=limits, p=1.0), albumentations.RandomCrop(*size)]
    pipeline = Augmentation(albumentations.Compose(steps), seed=0, void=9)
    expected = pytest.raises(DatasetError, match=message) if message else contextlib.nullcontext()
    with expected:
        check_training_size(pipeline, (30, 40), size)
