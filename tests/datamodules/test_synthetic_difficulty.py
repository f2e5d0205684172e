"""The embedded crops are a real task: colour and size do not solve it, a small network learns from shape.

That `resnet18`, given its epochs, is above `custom_cnn` takes too long for a test: benchmarks/RESULTS.md has it.
"""

import numpy as np
import pytest

from benchmarks.synthetic_difficulty import baselines, load, train, write_shuffled
from datamodules.crop_rules import CROP_CLASSES
from datamodules.synthetic.generate import ensure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """The folder that `data.root` names, and the crops in it."""
    root = tmp_path_factory.mktemp("streets")
    return root, load(ensure(root))


@pytest.fixture(scope="module")
def cheap(streets):
    return baselines(streets[1])


@pytest.fixture(scope="module")
def by_drive(streets, tmp_path_factory):
    """What `python train.py` reaches with nothing typed."""
    return train(tmp_path_factory.mktemp("runs") / "by_drive", f"data.root={streets[0]}")


def test_every_class_is_there_and_none_rules(streets):
    crops = streets[1]
    for split, least in (("train", 50), ("val", 10), ("test", 10)):
        counts = np.bincount(crops.targets[crops.part(split)], minlength=len(CROP_CLASSES))
        assert counts.min() >= least
        assert counts.max() <= 0.45 * counts.sum()


def test_what_has_no_eye_for_shape_fails(cheap):
    assert cheap["mean colour"] <= 0.40
    assert cheap["box size"] <= 0.40
    assert cheap["colour histogram"] <= 0.50
    assert cheap["8x8 thumbnail"] <= 0.50


def test_shape_can_be_learnt(cheap, by_drive):
    assert max(0.60, cheap["colour histogram"] + 0.15) <= by_drive <= 0.95


def test_shuffled_targets_teach_nothing_but_the_most_common_class(streets, cheap, tmp_path):
    folder = write_shuffled(streets[1], tmp_path / "crops", seed=0)
    data = ("data=image_folder", f"data.root={folder}", "data.split=folders", "trainer.max_epochs=3")
    assert train(tmp_path / "run", *data) <= cheap["majority"] + 0.05


def test_a_split_by_sample_leaks(streets, by_drive, tmp_path):
    """Frames of a drive resemble each other: with a drive on both sides, memory passes for knowledge."""
    by_sample = train(tmp_path / "run", f"data.root={streets[0]}", "data.split_by=sample")
    assert by_drive + 0.05 < by_sample <= 0.95
