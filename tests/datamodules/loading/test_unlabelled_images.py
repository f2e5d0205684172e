"""Images to predict: which are found, and how one that cannot be read is reported."""

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.loading.unlabelled_images import Pictures, find_pictures, picture_loader


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("b.png", "a/c.PNG", "a/d.jpg", ".hidden.png", ".hidden/e.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), 10 * number, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "a/broken.png").write_text("no image")
    (tmp_path / "a/folder.png").mkdir()
    (tmp_path / "a/gone.png").symlink_to("nowhere")
    (tmp_path / "linked").symlink_to(tmp_path / "a")  # as before, folders that are links are left out
    return tmp_path


def test_images_are_found_at_any_depth_and_sorted(folder):
    names = [path.relative_to(folder).as_posix() for path in find_pictures(folder)]
    assert names == ["a/broken.png", "a/c.PNG", "a/d.jpg", "b.png"]
    assert find_pictures(folder / "notes.txt") == [folder / "notes.txt"]  # named by the user, so it is reported


def test_no_images_and_no_folder_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no pictures in this folder or below it"):
        find_pictures(tmp_path)
    with pytest.raises(DatasetError, match="there is no such file or folder"):
        find_pictures(tmp_path / "none")


def test_an_item_is_an_image_at_the_size_of_the_model_or_a_reason(folder):
    pictures = Pictures([folder / "b.png", folder / "a/c.PNG", folder / "a/broken.png"], (2, 3))
    assert len(pictures) == 3
    assert torch.equal(pictures[1]["image"], torch.full((3, 2, 3), 10, dtype=torch.uint8))
    assert pictures[2].keys() == {"index", "reason"}
    assert "not an image" in pictures[2]["reason"]


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_leave_unreadable_images_out(folder, workers):
    paths = [folder / name for name in ("a/broken.png", "b.png", "a/c.PNG", "a/broken.png")]
    first, second = picture_loader(paths[:3], (4, 6), 2, workers)
    assert (first["index"].tolist(), list(first["unreadable"]), first["image"].shape) == ([1], [0], (1, 3, 4, 6))
    assert (second["index"].tolist(), second["unreadable"]) == ([2], {})
    [none] = picture_loader(paths[3:], (4, 6), 2, workers)
    assert (none["image"], none["index"].tolist(), list(none["unreadable"])) == (None, [], [0])
