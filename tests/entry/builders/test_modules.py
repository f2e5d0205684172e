"""Data modules, modules and losses that follow from settings."""

import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from entry.builders.modules import build_datamodule, build_loss, build_module, total_steps
from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.run import check_batches
from label_spaces.space import LabelSpace
from lightning_modules.classification import ClassificationModule
from settings.model import LossSettings
from tests.entry.config.test_resolve import request

SPACE = LabelSpace("toy", ("red", "green", "blue"))


@pytest.fixture
def settings(tmp_path, image_folder):
    def of(*typed):
        return resolved(
            request(tmp_path, "trainer=cpu", "data=image_folder", f"data.root={image_folder}", "data.image_size=[16,16]", *typed)
        )  # fmt: skip

    return of


@pytest.mark.parametrize(
    ("per_epoch", "typed", "steps"),
    [
        (7, [], 7 * 4),
        (7, ["trainer.limit_batches=3"], 3 * 4),
        (7, ["trainer.limit_batches=100"], 7 * 4),
        (7, ["trainer.limit_batches=5", "trainer.accumulate=2"], 3 * 4),  # 2 + 2 + 1 batches
        (0, [], 1),
    ],
)
def test_total_steps_are_the_optimisers_over_all_epochs(settings, per_epoch, typed, steps):
    given = settings("trainer.max_epochs=4", *typed)
    assert total_steps(given, SimpleNamespace(steps_per_epoch=per_epoch)) == steps


@pytest.mark.parametrize("counts", [None, [1, 3]])
@pytest.mark.parametrize("kind", ["none", "balanced"])
def test_the_loss_is_weighted_where_that_is_wanted_and_there_are_counts(counts, kind):
    loss = build_loss(LossSettings(class_weights=kind, label_smoothing=0.1), 2, counts)
    logits, target = torch.tensor([[2.0, 0.0], [0.5, 1.0]]), torch.tensor([0, 1])
    weights = torch.tensor([2.0, 2 / 3]) if kind == "balanced" and counts else None
    each = functional.cross_entropy(logits, target, weights, reduction="none", label_smoothing=0.1)
    total, _ = loss(logits, target)
    assert total.item() == pytest.approx(each.sum().item(), rel=1e-6)


def test_torchs_own_loss_leaves_void_out():
    logits, target = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 2])
    total, weight = build_loss(LossSettings(_target_="torch.nn.CrossEntropyLoss"), 2, None)(logits, target)
    assert weight == 1
    assert total == pytest.approx(functional.cross_entropy(logits[:1], target[:1]))


@pytest.fixture
def batches():
    """A data module with these batch sizes, and one that drops nothing."""

    def of(sizes, accumulate=1):
        table = SimpleNamespace(indices=lambda split: range(25))
        return SimpleNamespace(
            training_batch_sizes=lambda ranks: set(sizes), settings=SimpleNamespace(batch_size=8), accumulate=accumulate, table=table
        )  # fmt: skip

    return of


@pytest.mark.parametrize("network", [nn.Linear(1, 1), nn.Sequential(nn.BatchNorm2d(1))])
def test_only_batchnorm_cannot_take_a_batch_of_one(batches, network):
    check_batches(network, batches({8, 2}), 1)
    if not isinstance(network, nn.Sequential):
        check_batches(network, batches({8, 1}), 1)
        return
    with pytest.raises(RequestError, match=r"data\.batch_size=8 leaves a batch of one sample \(25 training samples\).*data\.batch_size=8\."):  # fmt: skip
        check_batches(network, batches({8, 1}), 1)
    with pytest.raises(RequestError, match=r"on one of 8 devices × accumulated batches .*data\.batch_size=16\."):
        check_batches(network, batches({1}, accumulate=2), 4)


def test_first_weights_follow_from_the_seed(settings):
    def first(*typed):
        module, report = build_module(settings(*typed), SPACE, "none")
        assert isinstance(module, ClassificationModule)
        assert (report.requested, report.used) == ("none", "none")
        return module.network.state_dict()

    one, again, other = first("seed=1"), first("seed=1"), first("seed=2")
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])
    assert one["classifier.weight"].shape == (3, 128)


@pytest.mark.parametrize(("model", "weights"), [("custom_cnn", "auto"), ("custom_cnn", "none"), ("resnet18", "none")])
def test_from_scratch_changes_nothing_and_downloads_nothing(settings, model, weights):
    given = settings(f"model={model}", "seed=1")
    module, report = build_module(given, SPACE, weights)
    assert (report.requested, report.used, report.note) == (weights, "none", "")
    fresh, _ = build_module(given, SPACE, "none")
    assert all(torch.equal(one, other) for one, other in zip(module.parameters(), fresh.parameters(), strict=True))


@pytest.mark.parametrize(
    ("folder", "given", "expected"),
    [
        ("/local/job", {}, ("/local/job/torchinductor", "/local/job/triton")),
        ("/local/job", {"TRITON_CACHE_DIR": "/mine"}, ("/local/job/torchinductor", "/mine")),
        ("/home/me/.cache/x", {}, (None, None)),
    ],
)
def test_compilers_keep_what_they_make_where_caches_are(settings, monkeypatch, folder, given, expected):
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    for name in names:
        monkeypatch.setenv(name, given.get(name, ""))
        if name not in given:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/me")
    build_module(settings(f"data.cache_dir={folder}"), SPACE, "none")
    assert tuple(map(os.environ.get, names)) == expected


def test_precision_and_memory_format_are_those_of_the_trainer(settings):
    module, _ = build_module(settings("trainer.precision=64-true", "trainer.channels_last=true"), SPACE, "none")
    assert {each.dtype for each in module.network.parameters()} == {torch.float64}
    kernels = [each for each in module.network.parameters() if each.dim() == 4]
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in kernels)


def test_the_schedule_knows_the_total_steps(settings):
    module, _ = build_module(settings("scheduler=poly", "scheduler.power=1"), SPACE, "none", total_steps=4)
    optimizer = module.make_optimizer(module.parameters())
    schedule = module.make_scheduler(optimizer)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1e-3 * (1 - step / 4) for step in range(4)])


def test_a_data_module_reads_the_runs_own_split(settings, tmp_path):
    given = settings("data.split={train: 0.5, val: 0.25, test: 0.25}")
    made = build_datamodule(given)
    made.prepare_training()
    made.write_split(tmp_path / "split.csv")
    rows = (tmp_path / "split.csv").read_text()
    swapped = rows.replace(",val", ",VAL").replace(",test", ",val").replace(",VAL", ",test")
    (tmp_path / "split.csv").write_text(swapped)
    again = build_datamodule(given, tmp_path / "split.csv")
    again.prepare_training()
    names = [[data.table.samples[i].name for i in data.table.indices(split)] for data, split in ((made, "val"), (again, "test"))]  # fmt: skip
    assert names[0] == names[1] != []
