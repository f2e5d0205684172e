"""On a stand-in of a device without float64, such as Apple's GPUs: tensors without values on the device ``cuda``."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchmetrics import Metric

from label_spaces.space import LabelSpace
from lightning_modules import schedules, supervised
from lightning_modules.classification import ClassificationModule
from lightning_modules.losses import CrossEntropy, TrainingLoss
from lightning_modules.segmentation import SegmentationModule
from metrics import counting, per_sample

SPACE = LabelSpace("tiny", ("a", "b", "c"))


class NoFloat64(TorchDispatchMode):
    """Raises where an operation takes or returns float64 on the device."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, result)):
            if isinstance(value, torch.Tensor) and value.device.type == "cuda" and value.dtype == torch.float64:
                raise TypeError(f"{operation}: no float64 on this device")
        return result


@pytest.fixture
def device(monkeypatch):
    """Counting is numpy's and needs values, so it is replaced: it must get tensors of the CPU."""

    def count(prediction, target, classes, predicted):
        assert (prediction.device.type, target.device.type) == ("cpu", "cpu")
        return torch.zeros(classes + 1, predicted + 1, dtype=torch.int64)

    monkeypatch.setattr(counting, "count_on_cpu", count)
    for each in (counting, per_sample, supervised):
        monkeypatch.setattr(each, "NO_FLOAT64", frozenset({"cuda"}))
    with FakeTensorMode(allow_non_fake_inputs=True), NoFloat64():
        yield torch.device("cuda")


def module(task):
    make, network, loss = {
        "classification": (ClassificationModule, nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3)), CrossEntropy(3)),
        "segmentation": (SegmentationModule, nn.Conv2d(3, 3, 1), TrainingLoss(CrossEntropy(3), 3, 0.4)),
    }[task]  # fmt: skip
    return make(
        network=network, label_space=SPACE, normalisation=((0.5,) * 3, (0.3,) * 3), loss=loss,
        optimizer=partial(torch.optim.SGD, lr=0.1), scheduler=schedules.constant,
    )  # fmt: skip


def moved(learner, device):
    """A module on the device; `Module.to` cannot move tensors without values."""
    for each in learner.modules():
        if isinstance(each, Metric):
            each.to(device)
        for name, value in [*each.named_parameters(recurse=False), *each.named_buffers(recurse=False)]:
            there = value.detach().to(device)
            setattr(each, name, nn.Parameter(there) if isinstance(value, nn.Parameter) else there)
    return learner


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_steps_and_evaluation_have_no_float64_on_the_device(device, task, monkeypatch):
    learner = moved(module(task), device)
    monkeypatch.setattr(learner, "log", lambda *_, **__: None)
    learner.trainer = SimpleNamespace(world_size=1)
    shape = (2,) if task == "classification" else (2, 6, 6)
    kind = torch.int64 if task == "classification" else torch.uint8
    batch = {
        "image": torch.zeros(2, 3, 6, 6, dtype=torch.uint8, device=device),
        "target": torch.zeros(shape, dtype=kind, device=device),
        "index": torch.zeros(2, dtype=torch.int64, device=device),
        "counted": True,
    }
    for _ in range(2):
        loss = learner.training_step(batch, 0)
    assert loss.device.type == learner.mean.device.type == "cuda"
    checkpoint = {}
    learner.on_save_checkpoint(checkpoint)
    assert checkpoint["epoch_loss"].dtype == torch.float64
    learner.evaluate_batch(batch, "val")
    rows = learner.records_of("val")
    assert {value.device.type for name in rows.columns for value in getattr(rows, name)} == {"cpu"}
    assert learner.confusion_of("val").counts.device.type == "cuda"
    learner.reset_stream("val")


def test_the_stand_in_refuses_float64(device):
    with pytest.raises(TypeError, match="no float64 on this device"):
        torch.zeros(2, device=device).double()
