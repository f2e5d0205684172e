"""A staged dataset is the original, byte by byte, whatever interrupts the copy."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import time
from types import SimpleNamespace

import pytest

from datamodules.errors import DatasetError
from datamodules.files import staging
from datamodules.files.image_files import find_images
from datamodules.files.staging import staged
from settings.data import DataSettings
from tests.conftest import make_image_folder

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data set"
    for name, content in {"a/1.jpg": b"one", "a/b/2.jpg": b"two" * 999_999, "3.jpg": b"", "list é.txt": b"a/1"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def settings(tmp_path):
    def make(stage=True):
        return DataSettings(
            name="x", split="official", image_size=(8, 8), eval_batch_size=1, cache_dir=str(tmp_path / "c"), stage=stage
        )

    return make


def contents(folder):
    """Every file by its path, links followed."""
    places = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in places}


def test_is_made_once_with_all_bytes_and_times(root, settings, tmp_path, capfd):
    (copy,) = staged([root], settings())
    assert contents(copy) == contents(root)
    assert copy.parent == tmp_path / "c" / "staged"
    assert [*copy.parent.iterdir()] == [copy]
    assert "Copying 4 files (3.0 MB)" in capfd.readouterr().err
    inode = (copy / "a/1.jpg").stat().st_ino
    assert staged([root], settings()) == (copy,)
    assert (copy / "a/1.jpg").stat().st_ino == inode
    assert capfd.readouterr().err == ""


def test_folders_of_one_name_have_copies_of_their_own_where_they_are_wanted(root, settings, tmp_path):
    other = tmp_path / "other" / root.name
    shutil.copytree(root / "a", other)
    copies = staged([root, other], settings(str(tmp_path / "disk")))
    assert [contents(copy) for copy in copies] == [contents(root), contents(other)]
    assert {copy.parent for copy in copies} == {tmp_path / "disk"}


def test_links_are_followed_as_readers_do(root, settings, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(root / "a", outside)
    (root / "z").symlink_to(outside)
    (root / "again").symlink_to(outside)
    (root / "cycle").symlink_to(root)
    (root / "file.jpg").symlink_to(outside / "1.jpg")
    (root / "gone.jpg").symlink_to(outside / "nothing.jpg")
    os.mkfifo(root / "pipe.jpg")
    (root / "empty").mkdir()
    for hidden in (".git", "__MACOSX", "run"):
        (root / hidden).mkdir()
        for name in ("a.jpg", "overrides.txt", "config.yaml"):
            (root / hidden / name).touch()
    (copy,) = staged([root], settings())
    assert find_images(copy) == find_images(root)
    assert {path.name for path in copy.iterdir()} == {
        "3.jpg", "a", "again", "cycle", "empty", "file.jpg", "gone.jpg", "list é.txt", "pipe.jpg", "z",
    }  # fmt: skip
    shutil.rmtree(outside)  # nothing of it is needed any more
    assert (copy / "z/1.jpg").read_bytes() == (copy / "again/1.jpg").read_bytes() == b"one"
    assert (copy / "file.jpg").read_bytes() == b"one"
    assert (copy / "cycle/cycle/a/1.jpg").samefile(copy / "a/1.jpg")
    assert not (copy / "gone.jpg").exists()
    assert (copy / "pipe.jpg").is_fifo()


def test_follows_what_changes(root, settings):
    (copy,) = staged([root], settings())
    kept = (copy / "a/b/2.jpg").stat().st_ino
    (root / "a/1.jpg").write_bytes(b"One")  # of the same size
    (root / "3.jpg").unlink()
    (root / "3.jpg").mkdir()
    (root / "3.jpg/new.jpg").write_bytes(b"new")
    (root / "list é.txt").unlink()
    assert staged([root], settings()) == (copy,)
    assert contents(copy) == contents(root)
    assert (copy / "a/b/2.jpg").stat().st_ino == kept
    shutil.rmtree(root / "3.jpg")
    (root / "3.jpg").symlink_to("a")
    staged([root], settings())
    assert contents(copy) == contents(root)


def counted(monkeypatch, act=lambda path: None):
    """A counter of the files that are copied, in all processes; `act` is called before each."""
    count, atomic = FORK.Value("i", 0), staging.atomic

    @contextlib.contextmanager
    def spy(path):
        act(path)
        with count.get_lock():
            count.value += 1
        with atomic(path) as file:
            yield file

    monkeypatch.setattr(staging, "atomic", spy)
    return count


def test_of_many_processes_one_copies(root, settings, monkeypatch):
    count = counted(monkeypatch)
    processes = [FORK.Process(target=staged, args=([root], settings())) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    assert count.value == 4


def test_a_copy_that_was_killed_does_not_look_whole_and_is_completed(root, settings, tmp_path, monkeypatch):
    make_image_folder(root / "more")
    reached = FORK.Event()

    def stop(path):
        if count.value == 20:
            reached.set()
            time.sleep(600)

    count = counted(monkeypatch, stop)
    process = FORK.Process(target=staged, args=([root], settings()))
    process.start()
    assert reached.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (partial,) = (path for path in (tmp_path / "c" / "staged").iterdir() if not path.name.startswith("."))
    assert partial.name.endswith(".partial")
    done = {path: path.stat().st_ino for path in partial.rglob("*.png") if contents(root).get(str(path)) is not None}
    copied = count.value
    monkeypatch.undo()
    again = counted(monkeypatch)
    (copy,) = staged([root], settings())
    assert contents(copy) == contents(root)
    assert len(contents(root)) - copied <= again.value <= len(contents(root)) - 20 + staging.MOST_THREADS
    assert all(path.stat().st_ino == inode for path, inode in done.items())
    assert [*copy.parent.iterdir()] == [copy]


def test_what_was_written_is_compared(root, settings, monkeypatch):
    atomic = staging.atomic

    @contextlib.contextmanager
    def damaged(path):
        with atomic(path) as file:
            yield SimpleNamespace(write=lambda block: file.write(block[:-1] + b"!"))

    monkeypatch.setattr(staging, "atomic", damaged)
    with pytest.raises(DatasetError, match=r"jpg does not hold what was written|txt does not hold"):
        staged([root], settings())
    monkeypatch.undo()
    (copy,) = staged([root], settings())
    assert contents(copy) == contents(root)


def test_a_disk_without_room_is_refused_with_both_numbers(root, settings, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    shutil.copytree(root, tmp_path / "second")
    with pytest.raises(
        DatasetError, match=r"data set.*second.*needs 6\.0 MB and .* has 5\.0 MB free; .*data\.stage=false"
    ):
        staged([root, tmp_path / "second"], settings())
    assert [*(tmp_path / "c" / "staged").iterdir()] == []
    staged([root], settings())


def test_a_folder_that_cannot_be_used_is_named(root, settings, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"data\.stage: .*/file.*: Not a directory\. .*data\.stage=false"):
        staged([root], settings(str(tmp_path / "file" / "below")))
    with pytest.raises(DatasetError, match=r"within data\.root=.*data set; choose another"):
        staged([root], settings(str(root / "a")))


def test_an_empty_folder_is_one(tmp_path, settings):
    (tmp_path / "empty").mkdir()
    (copy,) = staged([tmp_path / "empty"], settings())
    assert [*copy.iterdir()] == []
