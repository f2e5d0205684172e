"""Items and batches as the model gets them."""

import time

import numpy as np
import pytest
import torch

from datamodules.files.image_cache import CachedImages
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.dataset import EvaluationBatches, ImageDataset, SampleKey, collate, make_loader

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
NAMES = ["a", "b", "c", "d", "e", "f"]
TARGETS = [2, 0, 1, 1, 0, 2]


def dataset(indices=range(6)):
    return ImageDataset(NAMES, TARGETS, CachedImages(IMAGES[list(indices)], list(indices)))


def test_an_item_is_its_image_channels_first():
    IMAGES.flags.writeable = False
    item = dataset([1, 4, 5])[SampleKey(epoch=0, sample=4)]
    np.testing.assert_array_equal(item["image"].numpy(), np.moveaxis(IMAGES[4], -1, 0))
    assert item["image"].dtype == torch.uint8
    assert item["image"].is_contiguous()
    assert {key: item[key] for key in ("target", "index", "counted")} == {"target": 0, "index": 4, "counted": True}
    before = IMAGES[4].copy()
    item["image"].zero_()
    np.testing.assert_array_equal(IMAGES[4], before)


def test_a_batch():
    batch = collate([dataset()[SampleKey(0, index)] for index in (5, 2)])
    assert batch["image"].shape == (2, 3, 4, 5)
    assert batch["image"].is_contiguous()
    assert (batch["target"].dtype, batch["target"].tolist()) == (torch.int64, [2, 1])
    assert (batch["index"].dtype, batch["index"].tolist()) == (torch.int64, [5, 2])
    assert batch["counted"] is True
    assert collate([dataset()[SampleKey(0, 1, counted=False)]])["counted"] is False


def test_the_augmentation_gets_name_and_epoch():
    seen = []

    class Recorder(Augmentation):
        def __call__(self, image, *, name, epoch, mask=None):
            seen.append((name, epoch))
            return 255 - image, None

    images = CachedImages(IMAGES, range(6))
    item = ImageDataset(NAMES, TARGETS, images, Recorder(None, 0))[SampleKey(epoch=3, sample=1)]
    assert seen == [("b", 3)]
    np.testing.assert_array_equal(item["image"].numpy(), 255 - np.moveaxis(IMAGES[1], -1, 0))


def test_a_loader_leaves_torchs_generator_alone():
    for workers in (0, 1):
        state = torch.get_rng_state()
        loader = make_loader(dataset(), EvaluationBatches(range(6), 4), workers, pin_memory=False)
        began = time.monotonic()
        batches = list(loader)
        assert 0 < loader.waited <= time.monotonic() - began
        assert [batch["index"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5]]
        assert torch.equal(torch.get_rng_state(), state)


class Stalled(torch.utils.data.Dataset):
    def __getitem__(self, key):
        time.sleep(2)  # twice as long as is waited for it; the loader's end waits for it too


def test_a_worker_that_gives_nothing_ends_the_reading(monkeypatch):
    monkeypatch.setattr("datamodules.loading.dataset.STALLED_SECONDS", 1)
    loader = make_loader(Stalled(), EvaluationBatches([0, 1], 1), workers=1, pin_memory=False)
    with pytest.raises(RuntimeError, match="timed out after 1 seconds"):
        next(iter(loader))
