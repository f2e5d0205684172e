"""Images to predict: which are found, and how one that cannot be read is reported."""

from collections import Counter

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


def names(folder, *sources):
    return [
        path.relative_to(folder).as_posix()
        for path in find_pictures([str(folder / source) for source in sources], Counter())
    ]


def test_images_are_found_at_any_depth_and_sorted(folder):
    assert names(folder, "") == ["a/broken.png", "a/c.PNG", "a/d.jpg", "b.png"]
    assert names(folder, "a/broken.png") == ["a/broken.png"]  # named by the user, so it is reported


def test_several_sources_keep_their_order_and_each_image_is_taken_once(folder):
    assert names(folder, "b.png", "a", "a/d.jpg") == ["b.png", "a/broken.png", "a/c.PNG", "a/d.jpg"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a/*.jpg", ["a/d.jpg"]),
        ("*", ["b.png", "a/broken.png", "a/c.PNG", "a/d.jpg", "linked/broken.png", "linked/c.PNG", "linked/d.jpg"]),
        ("a/?.*", ["a/c.PNG", "a/d.jpg"]),
        ("a/[cd].*", ["a/c.PNG", "a/d.jpg"]),
        ("a/**/*.jpg", ["a/d.jpg"]),
    ],
)
def test_patterns(folder, pattern, found):
    assert names(folder, pattern) == found


def test_videos_are_found_by_name_and_by_pattern_and_not_in_folders(folder):
    for name in ("a/one.mp4", "a/two.MOV"):
        (folder / name).touch()
    (folder / "list.txt").write_text("a/two.MOV\n")
    assert names(folder, "a/one.mp4", "list.txt") == ["a/one.mp4", "a/two.MOV"]
    assert names(folder, "a/*.mp4") == ["a/one.mp4"]
    assert names(folder, "a") == ["a/broken.png", "a/c.PNG", "a/d.jpg"]
    (folder / "clips").mkdir()
    (folder / "clips/one.mp4").touch()
    with pytest.raises(DatasetError, match="Or predict all their frames: source=VIDEO, or a pattern such as"):
        names(folder, "clips")


def test_what_is_left_out_is_counted(folder):
    (folder / "a/e.heic").touch()
    (folder / "a/f.mp4").touch()
    (folder / "list.txt").write_text("a\n")
    for source in ("a", "a*", "list.txt"):
        ignored = Counter()
        assert find_pictures([str(folder / source)], ignored)
        assert (ignored["HEIC pictures, which cannot be read"], ignored["videos"]) == (1, 1), source


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder):
    (folder / "b.png").rename(folder / "b[1].png")
    assert names(folder, "b[1].png") == ["b[1].png"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_file_names_its_sources_from_its_own_folder_or_the_working_directory(folder, monkeypatch, encoding):
    (folder / "lists").mkdir()
    (folder / "lists/e.png").write_bytes((folder / "b.png").read_bytes())
    text = '# two and a folder\r\n\r\ne.png\r\n "b.png" \r\na\r\n'
    (folder / "lists/some.txt").write_bytes(text.encode(encoding))
    monkeypatch.chdir(folder)
    assert names(folder, "lists/some.txt") == ["lists/e.png", "b.png", "a/broken.png", "a/c.PNG", "a/d.jpg"]
    (folder / "lists/some.csv").write_text("label;filename\ncat;e.png\n;b.png\n")
    assert names(folder, "lists/some.csv") == ["lists/e.png", "b.png"]


def test_sources_that_mean_no_image_are_all_refused(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    (empty / "x.heic").write_text("x")
    (folder / "list.txt").write_text("b.png\ngone.png\n\na/gone.jpg\n")
    (folder / "none.txt").write_text("\n# nothing\n")
    for source, words in {
        empty: "no pictures in this folder or below it. Found there: HEIC pictures, which cannot be read (1). Convert them first",
        folder / "none": "there is no such file or folder. Did you mean none.txt?",
        folder / "x*.png": "no picture matches this pattern",
        folder / "list.txt": "line 2: ",
        folder / "none.txt": "names no pictures",
        "https://example.org/a.jpg": "there is no such file or folder",
    }.items():
        with pytest.raises(DatasetError, match="source=") as refusal:
            find_pictures([str(source), str(folder / "also gone")], Counter())
        assert words in str(refusal.value)
        assert "also gone: there is no such" in str(refusal.value)
    with pytest.raises(DatasetError, match=r"(?s)line 2: .*gone\.png: there is no .*line 4: .*a/gone\.jpg"):
        find_pictures([str(folder / "list.txt")], Counter())


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
