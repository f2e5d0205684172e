"""The plain values of a whole configuration, and how they are changed key by key."""

import copy
from typing import Any

import pytest

FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}
PLAIN: dict[str, Any] = {
    "lightning_module": {"_target_": "lightning_modules.classification.ClassificationModule"},
    "loss": {"name": "cross_entropy"},
    "data": {"name": "image_folder", "root": "/data/images", "split": FRACTIONS, "image_size": [48, 64], "cache_dir": "/cache", "eval_batch_size": 16},
    "model": {"name": "custom_cnn", "task": "classification", "network": {"_target_": "lightning_modules.networks.custom_cnn.custom_cnn"}},
    "aug": {"name": "none", "transform": None},
    "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-3},
    "scheduler": {"_target_": "lightning_modules.schedules.constant", "_partial_": True},
    "trainer": {},
    "logger": {"name": "csv"},
}  # fmt: skip
SEGMENTS = {"model.task": "segmentation"}


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The plain values with others at dotted keys."""
    values = copy.deepcopy(PLAIN)
    for key, value in changes.items():
        *path, last = key.split(".")
        place = values
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return values


@pytest.fixture
def plain() -> dict[str, Any]:
    return copy.deepcopy(PLAIN)
