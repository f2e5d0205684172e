"""A cache is whole or not there, whatever happens while it is made."""

import multiprocessing
import os
import shutil
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from datamodules.errors import DatasetError
from datamodules.files import image_cache
from datamodules.files.audit import BLOCK
from datamodules.files.image_cache import (
    CachedImages,
    ReadImages,
    ReadMasks,
    cache_name,
    cached_images,
    open_images,
    worth_caching,
)
from settings.data import DataSettings

SHAPE = (6, 4, 3)
COUNT = 700  # more than two blocks
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)
FORK = multiprocessing.get_context("fork")


def image(row):
    return IMAGES[row]


def unneeded(row):
    raise AssertionError(f"image {row} was read though the cache is there")


def test_holds_the_images_and_is_made_once(tmp_path):
    path = tmp_path / "new folder" / "a.npy"
    made = cached_images(path, COUNT, SHAPE, image)
    np.testing.assert_array_equal(made, IMAGES)
    np.testing.assert_array_equal(np.load(path), IMAGES)
    np.testing.assert_array_equal(cached_images(path, COUNT, SHAPE, unneeded), IMAGES)
    assert not made.flags.writeable
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.npy"]


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda _: b"", lambda _: b"something else"])
def test_a_file_that_is_not_whole_is_made_again(tmp_path, damage):
    path = tmp_path / "a.npy"
    cached_images(path, COUNT, SHAPE, image)
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(cached_images(path, COUNT, SHAPE, image), IMAGES)


def test_a_failure_leaves_nothing_behind(tmp_path):
    def broken(row):
        if row == 600:
            raise DatasetError("bad.jpg: damaged")
        return IMAGES[row]

    with pytest.raises(DatasetError, match=r"bad\.jpg: damaged"):
        cached_images(tmp_path / "a.npy", COUNT, SHAPE, broken)
    assert [file.name for file in tmp_path.iterdir()] == []


@pytest.mark.parametrize("block", [0, 1, 2])
def test_a_killed_maker_does_no_harm(tmp_path, block):
    path, reached = tmp_path / "a.npy", FORK.Event()

    def slow(row):
        if row == block * BLOCK + 10:
            reached.set()
            time.sleep(60)
        return IMAGES[row]

    maker = FORK.Process(target=cached_images, args=(path, COUNT, SHAPE, slow))
    maker.start()
    assert reached.wait(30)
    os.kill(maker.pid, signal.SIGKILL)
    maker.join()
    assert not path.exists()
    np.testing.assert_array_equal(cached_images(path, COUNT, SHAPE, image), IMAGES)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npy"]


def test_of_two_processes_one_makes_it_and_the_other_waits(tmp_path):
    reads, results = FORK.Value("i", 0), FORK.Queue()

    def slow(row):
        with reads.get_lock():
            reads.value += 1
        time.sleep(0.0005)
        return IMAGES[row]

    def make():
        results.put(bool(np.array_equal(cached_images(tmp_path / "a.npy", COUNT, SHAPE, slow), IMAGES)))

    makers = [FORK.Process(target=make) for _ in range(3)]
    for maker in makers:
        maker.start()
    assert [results.get(timeout=30) for _ in makers] == [True] * 3
    for maker in makers:
        maker.join()
    assert reads.value == COUNT


def test_the_name_differs_wherever_the_images_may(tmp_path):
    names = [
        cache_name("crops", (64, 64), ["a", "b"]),
        cache_name("crops", (64, 32), ["a", "b"]),
        cache_name("crops", (64, 64), ["b", "a"]),
        cache_name("crops", (64, 64), ["ab"]),
        cache_name("crops", (64, 64), ["a"]),
    ]
    assert len(set(names)) == len(names)
    assert names[0] == cache_name("crops", (64, 64), iter(["a", "b"]))
    assert names[0].startswith("crops-64x64-")


def test_auto_takes_little_and_leaves_much(tmp_path, monkeypatch):
    def free(amount):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=amount))

    free(1000 * 2**30)
    assert worth_caching(tmp_path / "new", 2 * 2**30)
    assert not worth_caching(tmp_path, 2 * 2**30 + 1)
    free(10 * 2**30)
    assert worth_caching(tmp_path, 2**30)
    assert not worth_caching(tmp_path, 2**30 + 1)
    (tmp_path / "file").touch()
    assert not worth_caching(tmp_path / "file" / "below", 1)


def test_a_full_disk_is_said_before_any_image_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(DatasetError, match=r"needs 50\.4 kB and .* has 10 bytes free; .*data\.cache=false"):
        cached_images(tmp_path / "a.npy", COUNT, SHAPE, unneeded)
    assert not (tmp_path / "a.npy").exists()


def test_much_room_is_said_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(image_cache, "ANNOUNCED_ABOVE", 1000)
    cached_images(tmp_path / "a.npy", COUNT, SHAPE, image)
    said = capsys.readouterr()
    assert "Caching 700 images takes 50.4 kB" in said.err
    assert said.out == ""


@pytest.mark.parametrize(("patience", "shown"), [(60.0, ""), (-1.0, "caching images")])
def test_a_bar_shows_only_where_it_takes_long(tmp_path, monkeypatch, capsys, patience, shown):
    monkeypatch.setattr("datamodules.files.audit.PATIENCE", patience)
    cached_images(tmp_path / "a.npy", COUNT, SHAPE, image)
    said = capsys.readouterr()
    assert said.out == ""
    assert shown in said.err if shown else said.err == ""


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"file/a\.npy cannot be written: .*data\.cache_dir=FOLDER"):
        cached_images(tmp_path / "file" / "a.npy", COUNT, SHAPE, unneeded)


def test_images_are_read_by_name_and_resized():
    read = ReadImages({"a": IMAGES[0], "b": np.full((9, 9, 3), 77, np.uint8)}.__getitem__, ["a", "b"], (6, 4))
    assert read.shape == SHAPE
    np.testing.assert_array_equal(read(0), IMAGES[0])
    np.testing.assert_array_equal(read(1), np.full(SHAPE, 77))


def test_masks_are_resized_by_the_nearest_pixel():
    read = ReadMasks(lambda _: np.array([[1, 1, 5, 5], [1, 1, 5, 5]], np.uint8), ["a"], (1, 2))
    assert read.shape == (1, 2)
    assert read(0).tolist() == [[1, 5]]


@pytest.mark.parametrize(("cache", "kind"), [(False, ReadImages), (True, CachedImages), ("auto", CachedImages)])
def test_images_are_opened_as_the_settings_request(tmp_path, cache, kind):
    settings = DataSettings(
        name="x", split="official", image_size=SHAPE[:2], cache=cache, cache_dir=str(tmp_path / "c"), eval_batch_size=1
    )
    read = ReadImages(lambda name: IMAGES[int(name)], ["0", "1", "2"], SHAPE[:2])
    images = open_images("title", read, [0, 2], settings, ["a fact"], sample_bytes=72)
    assert type(images) is kind
    np.testing.assert_array_equal(images(2), IMAGES[2])
    files = [path.name for path in tmp_path.glob("c/*.npy")]
    assert files == ([] if cache is False else [cache_name("title", SHAPE, ["a fact"])])


@pytest.mark.parametrize("title", ["x" * 300, "a/b", "../a", "a\nb=c"])
def test_a_cache_is_a_file_whatever_the_dataset_is_called(tmp_path, title):
    path = tmp_path / cache_name(title, SHAPE, ["a"])
    cached_images(path, 1, SHAPE, lambda _: np.zeros(SHAPE, np.uint8))
    assert path in tmp_path.iterdir()
