from collections import Counter

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.image_files import find_images, image_extensions, list_folder
from datamodules.files.images import read_image
from tests.datamodules.files.test_images import PICTURE, encoded


def test_endings_are_those_of_still_pictures():
    endings = image_extensions()
    assert {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".jp2"} <= endings
    assert not {".pdf", ".mpg", ".eps", ".ps", ".wmf", ".h5", ".txt", ".json", ""} & endings


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "root"
    for name in ("b.png", "a/c.JPG", "a/deep/d.tiff", "a/notes.txt", ".hidden.png", "a/.cache/e.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/f.bmp").touch()
    (root / "z").symlink_to(tmp_path / "elsewhere")
    (root / "a/circle").symlink_to(root)
    return root


def test_images_are_found_by_name_without_entering_a_folder_twice(folder):
    ignored = Counter()
    assert find_images(folder, ignored) == ["b.png", "a/c.JPG", "a/deep/d.tiff", "z/f.bmp"]
    assert ignored == {"hidden files or folders": 2, "files that are no images": 1}
    assert find_images(folder, follow_links=False) == ["b.png", "a/c.JPG", "a/deep/d.tiff"]


def test_a_run_below_is_left_out_and_a_run_itself_is_searched(tmp_path):
    run = tmp_path / "runs/2026-01-01/12-00-00_custom_cnn"
    for name in (
        "config.yaml",
        "overrides.txt",
        "evaluation/test/figures/confusion.png",
        "evaluation/test/config.yaml",
    ):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.yaml").touch()
    (tmp_path / "other/a.png").touch()
    ignored = Counter()
    assert find_images(tmp_path, ignored) == ["other/a.png"]
    assert ignored["run folders"] == 1
    assert find_images(run) == ["evaluation/test/figures/confusion.png"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    for find in (find_images, list_folder):
        with pytest.raises(DatasetError, match="none cannot be listed: No such file or directory"):
            find(tmp_path / "none")


def test_images_are_recognised_by_their_first_bytes_where_their_names_have_no_ending(tmp_path):
    names = ["a", "b.1", "c.jpg?size=large", "d.png!d", "e.jpg_large"]
    for name in (*names, "f.jpg~", "g.png.bak", "h.part"):
        (tmp_path / name).write_bytes(encoded(Image.fromarray(PICTURE)))
    for name in ("README", "i.2", "k.jpg?size=small"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "pipe").symlink_to("nowhere")
    ignored = Counter()
    assert find_images(tmp_path, ignored) == names
    assert ignored["files that are no images"] == 7
    np.testing.assert_array_equal(read_image(tmp_path / "a"), PICTURE)
