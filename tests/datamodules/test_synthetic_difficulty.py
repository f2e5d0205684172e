"""The embedded crops are a real task: colour and size do not solve it, a small network learns from shape."""

import numpy as np
import pytest
import torch

from benchmarks.synthetic_difficulty import baselines, load, network, shuffled
from datamodules.crop_rules import CROP_CLASSES
from datamodules.synthetic.generate import ensure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return ensure(tmp_path_factory.mktemp("streets"))


@pytest.fixture(scope="module")
def crops(root):
    return load(root)


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)


def test_every_class_is_there_and_none_rules(crops):
    for split, least in (("train", 50), ("val", 10), ("test", 10)):
        counts = np.bincount(crops.targets[crops.part(split)], minlength=len(CROP_CLASSES))
        assert counts.min() >= least
        assert counts.max() <= 0.45 * counts.sum()


def test_shape_is_needed_and_can_be_learnt(crops):
    cheap = baselines(crops)
    assert cheap["mean colour"] <= 0.40
    assert cheap["box size"] <= 0.40
    assert cheap["colour histogram"] <= 0.50
    assert cheap["8x8 thumbnail"] <= 0.50
    assert cheap["colour histogram"] + 0.15 <= network("custom_cnn", crops, epochs=6, seed=0) <= 0.95


def test_shuffled_targets_teach_nothing_but_the_most_common_class(crops):
    most = max(np.bincount(crops.targets[crops.part("test")])) / len(crops.part("test"))
    assert network("custom_cnn", shuffled(crops, 0), epochs=2, seed=0) <= most + 0.05


def test_a_split_by_sample_leaks(root, crops):
    """Frames of a drive resemble each other: with a drive on both sides, memory passes for knowledge."""
    assert (
        network("custom_cnn", load(root, "sample"), epochs=8, seed=0)
        > network("custom_cnn", crops, epochs=8, seed=0) + 0.05
    )
