"""Repeat-factor sampling: the factors of the paper, an epoch's length, and each sample's share of it."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datamodules.balanced_sampling import BalancedSampling, repeat_factors
from datamodules.loading.dataset import SampleKey
from tests.datamodules.conftest import Toy, fit_loop, shipped


class Uneven(Toy):
    """Of the last class one image in five."""

    def find(self):
        return [each for each in super().find() if each.target != "bus" or int(each.name[-2:]) % 15 == 2]


@pytest.fixture
def make_uneven(make_toy):
    def make(**keys):
        return make_toy(kind=Uneven, split={"train": 0.8, "val": 0.1, "test": 0.1}, sampling="balanced", **keys)

    return make


@pytest.mark.parametrize("threshold", [0.001, 0.2, 0.5, 1.0])
def test_the_factors_are_those_of_the_paper(threshold):
    present = np.random.default_rng(0).random((50, 6)) < [0.9, 0.5, 0.1, 0.04, 0.02, 0.0]
    classes, samples = repeat_factors(present, threshold)
    expected = []
    for row in present:  # LVIS, section 3.3, image by image
        factors = [1.0]
        for category in np.flatnonzero(row):
            frequency = sum(bool(other[category]) for other in present) / 50
            factors.append(max(1.0, (threshold / frequency) ** 0.5))
        expected.append(max(factors))
    np.testing.assert_allclose(samples, expected)
    assert classes[5] == 1


def test_an_epoch_keeps_its_length_and_has_each_sample_as_often_as_its_share(make_uneven):
    module, uniform = make_uneven(), make_uneven(sampling_threshold=0.01)
    train = uniform.indices("train")
    counts = Counter(module.table.samples[index].target for index in train)
    frequency = counts["bus"] / len(train)
    factors = {index: (1 / 3 / frequency) ** 0.5 if module.table.samples[index].target == "bus" else 1 for index in train}  # fmt: skip
    shares = {index: len(train) * factor / sum(factors.values()) for index, factor in factors.items()}
    seen, epochs = Counter(), 400
    for epoch in range(epochs):
        indices = module.training_indices(epoch)
        assert len(indices) == len(train)
        assert indices == sorted(indices)
        found = Counter(indices)
        assert all(found[index] in (np.floor(share), np.ceil(share)) for index, share in shares.items())
        seen += found
    assert all(seen[index] / epochs == pytest.approx(share, abs=0.1) for index, share in shares.items())
    assert module.training_indices(3) == make_uneven().training_indices(3) != module.training_indices(4)
    assert module.training_indices(3) != make_uneven(seed=1).training_indices(3)
    assert module.steps_per_epoch == uniform.steps_per_epoch
    for part in ("val", "test", "train_eval"):
        assert module.indices(part) == uniform.indices(part)


def test_where_no_class_is_rare_the_epochs_are_those_of_uniform_sampling(make_toy, make_uneven):
    loaders = [module.training_dataloader(2) for module in (make_toy(), make_toy(sampling="balanced"))]
    for plain, balanced in zip(*loaders, strict=True):
        assert torch.equal(plain["image"], balanced["image"])
    (note,) = [note for note in make_toy(sampling="balanced").notes if "data.sampling" in note]
    assert (
        "changes nothing: no class is in fewer than 33.33% of the training images. The rarest, auto, is in 33.33%"
        in note
    )
    (note,) = [note for note in make_uneven().notes if "data.sampling" in note]
    assert "bus (2 images, 2.23 times each)" in note  # √(1/3 · 34/2) = 2.38 over the mean, (32 + 2 · 2.38) / 34
    assert "cart" not in note


def test_a_repeated_sample_is_augmented_otherwise_each_time_and_first_as_ever(make_uneven, make_toy):
    module = make_uneven(transform=shipped("flip_rotate", (8, 8)), sampling_threshold=1.0)
    loader = module.training_dataloader(0)
    keys = [key for batch in loader.batch_sampler for key in batch]
    repeated = [key for key in keys if key.occurrence]
    assert repeated
    for key in keys:
        assert Counter(keys)[key] == 1
    key = repeated[0]
    first = SampleKey(key.epoch, key.sample)
    assert first in keys
    images = loader.dataset[first]["image"], loader.dataset[key]["image"]
    assert not torch.equal(*images)
    plain = make_toy(kind=Uneven, split={"train": 0.8, "val": 0.1, "test": 0.1}, transform=shipped("flip_rotate", (8, 8)))  # fmt: skip
    assert torch.equal(images[0], plain.training_dataloader(0).dataset[first]["image"])


def test_ranks_share_a_balanced_epoch_and_a_resumed_one_goes_on(make_uneven):
    alone = [batch["image"] for batch in make_uneven().training_dataloader(3)]
    ranks = [make_uneven(), make_uneven()]
    for rank, module in enumerate(ranks):
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2, num_nodes=1, fit_loop=fit_loop(3), strategy=strategy)  # fmt: skip
    for whole, *parts in zip(alone, *(module.train_dataloader() for module in ranks), strict=True):
        assert torch.equal(torch.cat([part["image"] for part in parts if part["counted"]]), whole)
    rest = [batch["image"] for batch in make_uneven().training_dataloader(3, start_batch=2)]
    assert all(map(torch.equal, rest, alone[2:]))
    assert len(rest) == len(alone) - 2


def test_of_masks_the_rarest_class_of_a_frame_decides(make):
    module = make(sampling="balanced", sampling_threshold=1.0)
    names = [module.table.samples[index].name for index in module.indices("train")]
    rare = names[3]
    module.pixels = dict.fromkeys(names, (5, 5, 0, 0, 0, 0, 0, 3)) | {rare: (5, 0, 9, 0, 0, 0, 0, 0)}
    times = dict(zip(names, BalancedSampling(module).times, strict=True))
    expected = len(names) ** 0.5 / np.sqrt(len(names) / (len(names) - 1))  # of 1 frame in N, of N - 1 frames in N
    assert {round(times[rare] / times[name], 6) for name in names} == {1.0, round(expected, 6)}
    assert sum(times.values()) == pytest.approx(len(names))
