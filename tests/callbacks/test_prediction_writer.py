"""Masks on disk: at each frame's own size, as the ids of its dataset's files and as colours."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.prediction_writer import FrameMasks
from label_spaces.catalogue import load
from lightning_modules.errors import TrainingError

SPACE = load("idd_cityscapes18")  # its ids have a gap


@pytest.fixture
def written(tmp_path):
    """The folder that `FrameMasks` fills from a batch of two masks, the second one of a frame twice as large."""
    masks = np.random.default_rng(0).integers(0, SPACE.num_classes + 1, (2, 6, 8))
    writer = FrameMasks(None, {4: "a/x.png", 9: "b/y.png"}, {4: (6, 8), 9: (12, 16)}, SPACE)
    trainer = SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda folder: folder or tmp_path))
    writer.setup(trainer, None, "test")
    outputs = {"index": torch.tensor([9, 4]), "prediction": torch.from_numpy(masks[::-1].copy())}
    writer.on_test_batch_end(trainer, None, outputs, None, 0)
    return tmp_path, masks


def test_ids_are_grey_and_void_has_its_own(written):
    folder, masks = written
    picture = Image.open(folder / "ids/a/x.png")
    assert (picture.mode, picture.size) == ("L", (8, 6))
    ids = np.array([*SPACE.ids, 255])
    np.testing.assert_array_equal(picture, ids[masks[0]])
    np.testing.assert_array_equal(Image.open(folder / "ids/b/y.png"), ids[masks[1]].repeat(2, 0).repeat(2, 1))


def test_colours_are_those_of_the_label_space(written):
    folder, masks = written
    picture = Image.open(folder / "colours/a/x.png")
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(picture, np.array([*SPACE.colours, (0, 0, 0)])[masks[0]])
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == [
        "colours/a/x.png", "colours/b/y.png", "ids/a/x.png", "ids/b/y.png",
    ]  # fmt: skip


def test_no_mask_replaces_that_of_another_frame(tmp_path):
    writer = FrameMasks(tmp_path, {0: "a/x.png", 1: "a/x.png"}, {0: (6, 8), 1: (6, 8)}, SPACE)
    writer.save(0, np.zeros((6, 8), np.uint8))
    with pytest.raises(TrainingError, match=r"ids/a/x\.png is another frame's mask already: this file system"):
        writer.save(1, np.ones((6, 8), np.uint8))
    assert not np.array(Image.open(tmp_path / "ids/a/x.png")).any()
