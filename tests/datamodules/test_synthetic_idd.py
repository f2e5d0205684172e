"""The embedded data through the ordinary interface of a data module."""

from pathlib import Path

import pytest

from datamodules.crop_rules import CropRules
from datamodules.errors import DatasetError
from datamodules.synthetic_idd import SyntheticIDDCrops, SyntheticIDDFrames
from settings.data import DataSettings


def streets(root: Path, **changes):
    keys = {
        "name": "synthetic_idd", "root": str(root), "split": {"train": 0.5, "val": 0.25, "test": 0.25},
        "split_by": "group", "image_size": (32, 32), "cache_dir": str(root.parent / "cache"), "eval_batch_size": 8,
    }  # fmt: skip
    rules = CropRules(train=2, train_groups=1, evaluation=1)
    return SyntheticIDDCrops(DataSettings(**keys | changes), rules=rules, drives=4, frames_per_drive=2)


def test_it_makes_the_data_once_and_feeds_batches(tmp_path):
    data = streets(tmp_path / "made")
    data.prepare_training()
    images = sorted(data.root.glob("leftImg8bit/*/*/*.jpg"))
    assert len(images) == 8
    times = [path.stat().st_mtime_ns for path in images]
    again = streets(tmp_path / "made")
    again.prepare_training()
    assert again.table.sha256() == data.table.sha256()
    assert [path.stat().st_mtime_ns for path in images] == times
    batch = next(iter(again.evaluation_dataloader("test")))
    assert batch["image"].shape[1:] == (3, 32, 32)
    assert int(batch["target"].max()) < again.label_space.num_classes


def test_another_generator_seed_is_another_dataset(tmp_path):
    first, second = streets(tmp_path), streets(tmp_path, generator_seed=1)
    assert first.root != second.root
    assert first.find() != second.find()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        streets(tmp_path / "file" / "below").prepare_training()


def test_frames_and_masks_of_the_same_streets(tmp_path, settings):
    keys = {"root": str(tmp_path / "made"), "label_space": "idd_level3", "image_size": (36, 64)}
    data = SyntheticIDDFrames(settings(name="synthetic_idd", **keys), drives=20, frames_per_drive=1)
    data.prepare_training()
    assert {split: len(data.indices(split)) for split in ("train", "select", "val")} == {
        "train": 17, "select": 1, "val": 2,
    }  # fmt: skip
    crops = streets(tmp_path / "made")
    assert crops.root != data.root  # another number of drives, another dataset
    batch = next(iter(data.training_dataloader(0)))
    assert batch["target"].shape == (4, 36, 64)
    road, void = data.label_space.classes.index("road"), data.label_space.void
    assert 0.1 < float((batch["target"] == road).float().mean()) < 0.7
    assert float((batch["target"] == void).float().mean()) < 0.1
    counts = data.counts()["train"]
    assert sum(count > 0 for count in counts.values()) >= 15
