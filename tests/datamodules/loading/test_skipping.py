"""What is read in place of a sample that cannot be: the same in every process, never twice in an evaluation."""

import numpy as np
import pytest

from datamodules.errors import DatasetError, UnreadableError
from datamodules.files.image_cache import ReadImages, ReadMasks
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.dataset import EvaluationBatches, SampleKey, TrainingBatches, make_loader
from datamodules.loading.skipping import TRIES, collate_read, skipping

NAMES = [f"frame {i}" for i in range(20)]
SIZE = (4, 6)


def images(gone=()):
    def read(name):
        number = int(name.split()[1])
        if number in gone:
            raise DatasetError(f"{name}: gone")
        return np.full((*SIZE, 3), number, np.uint8)

    return ReadImages(read, NAMES, SIZE)


def loader(batches, part, gone, workers=0, targets=tuple(range(20))):
    make, options = skipping(batches, part, SIZE)
    return make_loader(make(NAMES, targets, images(gone)), batches, workers, pin_memory=False, **options)


def read(batches, part, gone, workers=0, **keys):
    return [(batch["index"].tolist(), batch["image"][:, 0, 0, 0].tolist(), batch.get("skipped", [])) for batch in loader(batches, part, gone, workers, **keys)]  # fmt: skip


def training(epoch, **keys):
    return TrainingBatches(range(20), 6, seed=3, epoch=epoch, **keys)


@pytest.mark.parametrize("workers", [0, 2])
def test_another_sample_takes_the_place_in_its_batch_and_all_others_stay(workers):
    whole = read(training(1), "train", ())
    found = read(training(1), "train", {4, 7}, workers)
    skipped = [each for *_, rows in found for each in rows]
    assert sorted(skipped) == [("train", "frame 4", "frame 4: gone"), ("train", "frame 7", "frame 7: gone")]
    assert [len(index) for index, *_ in found] == [len(index) for index, *_ in whole] == [6, 6, 6, 2]
    for (index, pixels, _), (before, *_) in zip(found, whole, strict=True):
        assert index == pixels  # the target's index, and the pixels, are of the sample that was read
        assert [new for new, old in zip(index, before, strict=True) if old not in {4, 7}] == [old for old in before if old not in {4, 7}]  # fmt: skip
        assert not {4, 7} & {*index}
    assert found == read(training(1), "train", {4, 7})


def test_the_replacement_is_a_function_of_the_sample_alone_however_ranks_share_the_batches():
    def replacement(rank, ranks, epoch=0):
        batches = TrainingBatches(range(20), 6, seed=3, epoch=epoch, rank=rank, world_size=ranks)
        plain = [key for batch in batches for key in batch]
        found = [index for indices, *_ in read(batches, "train", {4}) for index in indices]
        return {new for key, new in zip(plain, found, strict=True) if key.sample == 4 and key.counted}

    [alone] = replacement(0, 1)
    assert replacement(0, 2) | replacement(1, 2) == {alone}
    assert len(set().union(*(replacement(0, 1, epoch) for epoch in range(6)))) > 2


def test_it_is_augmented_in_another_way_than_where_it_belongs():
    seen = []

    class Seen(Augmentation):
        def __init__(self):
            pass

        def __call__(self, image, *, name, epoch, mask=None):
            seen.append((name, epoch))
            return image, mask

    make, _ = skipping(training(2), "train", SIZE)
    item = make(NAMES, range(20), images({4}), Seen())[SampleKey(2, 4)]
    assert seen == [(f"{NAMES[item['index']]}\n{20 + 4}", 2)]


def test_where_no_other_can_be_read_it_ends():
    make, _ = skipping(training(0), "train", SIZE)
    with pytest.raises(UnreadableError, match=rf"^{TRIES} others in its place cannot be read either: frame 4: gone"):
        make(NAMES, range(20), images(set(range(20))))[SampleKey(0, 4)]


@pytest.mark.parametrize("workers", [0, 1])
def test_of_an_evaluation_it_is_left_out_and_a_batch_of_none_is_not_counted(workers):
    masks = ReadMasks(lambda _: np.ones(SIZE, np.uint8), NAMES, SIZE)
    batches = EvaluationBatches(range(7), 3)
    found = [*loader(batches, "test", {1, 3, 4, 5}, workers, masks)]
    assert [(batch["index"].tolist(), batch["counted"]) for batch in found] == [([0, 2], True), ([3, 4, 5], False), ([6], True)]  # fmt: skip
    assert [batch["image"].shape for batch in found] == [(2, 3, *SIZE), (3, 3, *SIZE), (1, 3, *SIZE)]
    assert [[row[1] for row in batch.get("skipped", [])] for batch in found] == [["frame 1"], ["frame 3", "frame 4", "frame 5"], []]  # fmt: skip
    assert read(EvaluationBatches(range(7), 3), "test", {1})[0] == (
        [0, 2],
        [0, 2],
        [("test", "frame 1", "frame 1: gone")],
    )


def test_a_sample_that_only_fills_a_batch_is_not_recorded():
    make, _ = skipping(training(0), "train", SIZE)
    item = make(NAMES, range(20), images({4}))[SampleKey(0, 4, counted=False)]
    assert item["skipped"] == []
    assert not item["counted"]
    assert "skipped" not in collate_read([item])
