"""Mixed samples: those of torchvision's transforms, and the same on any rank, worker and after any stop."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from datamodules.loading.dataset import SampleKey, TrainingBatches
from datamodules.loading.mixing import MixedDataset, cutmix, mixup
from settings.mixing import MixingKeys
from tests.datamodules.conftest import fit_loop, shipped

KEYS = {"mixup": 0.4, "cutmix": 1.0}
FIELDS = ("image", "target", "index", "partner", "lambda")


class Draws:
    """Fixed draws in place of a numpy generator's."""

    def __init__(self, beta, *places):
        self.beta, self.integers = (lambda a, b: beta), (lambda below: next(numbers))
        numbers = iter(places)


def images(height=11, width=14):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, height, width), dtype=np.uint8))


def torchvisions(transform, own, monkeypatch, *places):
    """The first image of a batch of two, whose partner is the second, and its part of its own, by a transform."""
    monkeypatch.setattr(transform, "_dist", SimpleNamespace(sample=lambda _: torch.tensor(own)))
    numbers = iter(places)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([next(numbers)]))
    mixed, labels = transform(images().float(), torch.tensor([0, 1]))
    return mixed[0], labels[0, 0].item()


@pytest.mark.parametrize("own", [0.0, 0.123, 0.5, 0.97])
def test_mixup_is_torchvisions_rounded_to_whole_numbers(own, monkeypatch):
    expected, label = torchvisions(v2.MixUp(alpha=0.2, num_classes=2), own, monkeypatch)
    mixed, part = mixup(*images(), 0.2, Draws(own))
    assert mixed.dtype == torch.uint8
    assert (mixed.float() - expected).abs().max() <= 0.5 + 1e-3
    assert part == pytest.approx(label)


@pytest.mark.parametrize("own", [0.02, 0.3, 0.75, 0.999])
@pytest.mark.parametrize("place", [(0, 0), (13, 10), (6, 4), (2, 9)])
def test_cutmix_is_torchvisions(own, place, monkeypatch):
    expected, label = torchvisions(v2.CutMix(alpha=1.0, num_classes=2), own, monkeypatch, *place)
    before = images()
    mixed, part = cutmix(*before, 1.0, Draws(own, *place))
    assert torch.equal(mixed.float(), expected)
    assert part == pytest.approx(label)
    assert torch.equal(before, images())


@pytest.mark.parametrize(("mix", "alpha"), [(mixup, 0.2), (cutmix, 1.0)])
def test_lambda_is_drawn_from_its_beta_distribution(mix, alpha):
    pair = images(64, 64)
    parts = np.array([mix(*pair, alpha, np.random.default_rng(n))[1] for n in range(600)])
    drawn = np.random.default_rng(1).beta(alpha, alpha, 600)
    if mix is cutmix:  # boxes are cut at the border
        assert parts.mean() > drawn.mean() + 0.05
    else:
        assert np.quantile(parts, (0.25, 0.5, 0.75)) == pytest.approx(np.quantile(drawn, (0.25, 0.5, 0.75)), abs=0.15)


def batches_of(loader):
    return [{name: batch[name] for name in FIELDS if name in batch} | {"counted": batch["counted"]} for batch in loader]


def same(left, right):
    pairs = zip(left, right, strict=True)
    return all(a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a if n != "counted") for a, b in pairs)


@pytest.fixture(params=["images", "masks"])
def make_mixed(request, make_toy, make):
    """Makes a data module that mixes what it is trained on."""
    masks = request.param == "masks"
    keys = MixingKeys(copy_paste=0.7) if masks else MixingKeys(**KEYS)
    transform = shipped("road") if masks else shipped("flip_rotate")
    return partial(make if masks else make_toy, mixing=partial(MixedDataset, keys=keys), transform=transform)


def test_mixing_is_the_same_for_any_number_of_workers_and_ranks_and_from_any_batch_on(make_mixed):
    alone = make_mixed(num_workers=0)
    epochs = [batches_of(alone.training_dataloader(epoch)) for epoch in (1, 2)]
    assert same(batches_of(make_mixed(num_workers=2).training_dataloader(1)), epochs[0])
    assert same(batches_of(alone.training_dataloader(1, start_batch=2)), epochs[0][2:])
    ranks = [make_mixed(num_workers=0) for _ in range(2)]
    for rank, module in enumerate(ranks):
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2, num_nodes=1, fit_loop=fit_loop(1), strategy=strategy)  # fmt: skip
    for whole, *parts in zip(epochs[0], *(batches_of(m.train_dataloader()) for m in ranks), strict=True):
        for name in whole.keys() - {"counted"}:
            assert torch.equal(torch.cat([part[name] for part in parts if part["counted"]]), whole[name])
    images = [{int(i): image for b in epoch for i, image in zip(b["index"], b["image"], strict=True)} for epoch in epochs]  # fmt: skip
    assert not any(torch.equal(images[0][index], images[1][index]) for index in images[0])
    for loader in (*alone.val_dataloader(), alone.test_dataloader()):
        assert "partner" not in next(iter(loader))


def test_an_item_is_made_of_it_and_of_its_partner_as_augmented_in_this_epoch(make_toy):
    plain, module = (
        make_toy(transform=shipped("flip_rotate"), mixing=mixing)
        for mixing in (None, partial(MixedDataset, keys=MixingKeys(mixup=1.0)))
    )
    samples = plain.training_dataloader(4).dataset
    augmented = {index: samples[SampleKey(4, index)] for index in plain.indices("train")}
    partners = []
    for batch in module.training_dataloader(4):
        for image, target, index, partner, own in zip(*(batch[name] for name in FIELDS), strict=True):
            assert target == augmented[int(index)]["target"]
            others = [each for each in augmented.values() if each["target"] == partner]
            mixed = [own * augmented[int(index)]["image"] + (1 - own) * other["image"] for other in others]
            near = [n for n, each in enumerate(mixed) if (each - image).abs().max() < 0.51]
            assert near, "no sample of the epoch is the partner"
            partners.append(others[near[0]]["index"])
    assert len(set(partners)) > len(partners) / 2


def masked(height, width, seed, classes):
    draws = np.random.default_rng(seed)
    mask = draws.choice(classes, (height, width)).astype(np.uint8)
    image = draws.integers(0, 256, (3, height, width), dtype=np.uint8)
    return {"image": torch.from_numpy(image), "target": torch.from_numpy(mask), "index": seed, "counted": True}


class Pair:
    """A sample and its only possible partner."""

    space = SimpleNamespace(void=6, classes=tuple("abcdef"))

    def __init__(self, classes):
        self.items = {0: masked(9, 12, 0, [0, 5]), 1: masked(9, 12, 1, classes)}

    def __getitem__(self, key):
        return self.items[key.sample]

    def name_of(self, key):
        return f"frame{key.sample}"

    def mixed(self, epoch, **keys):
        return MixedDataset(self, TrainingBatches([1], 1, 0, epoch), self.space, MixingKeys(**keys))[SampleKey(epoch, 0)]  # fmt: skip


@pytest.mark.parametrize("classes", [[0, 1, 2, 3, 6], [1, 2, 4], [2, 6], [6]])
def test_half_of_the_partners_classes_are_pasted_and_never_void(classes):
    pair, chosen = Pair(classes), set()
    own, other = pair.items[0], pair.items[1]
    for epoch in range(30):
        item = pair.mixed(epoch, copy_paste=1.0)
        changed = {int(c) for c in other["target"].unique() if torch.equal(item["target"][other["target"] == c], other["target"][other["target"] == c]) and torch.equal(item["image"][:, other["target"] == c], other["image"][:, other["target"] == c])}  # fmt: skip
        assert len(changed) == len(set(classes) - {6}) // 2
        assert 6 not in changed
        chosen.add(frozenset(changed))
        for row in range(9):
            for column in range(12):
                source = other if int(other["target"][row, column]) in changed else own
                assert item["target"][row, column] == source["target"][row, column]
                assert torch.equal(item["image"][:, row, column], source["image"][:, row, column])
    assert len(chosen) > 1 or len(set(classes) - {6}) < 2


def test_listed_classes_are_pasted_and_the_part_of_frames_is_kept():
    pair = Pair([1, 2, 3, 6])
    items = [pair.mixed(epoch, copy_paste=0.3, copy_paste_classes=["c", "f"]) for epoch in range(300)]
    pasted = pair.items[1]["target"] == 2
    expected = torch.where(pasted, 2, pair.items[0]["target"])
    untouched = [torch.equal(item["target"], pair.items[0]["target"]) for item in items]
    assert all(torch.equal(item["target"], expected) for item, same in zip(items, untouched, strict=True) if not same)
    assert 1 - np.mean(untouched) == pytest.approx(0.3, abs=0.08)
