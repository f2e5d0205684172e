"""A training of many epochs grows neither in memory nor in handles nor in files; `make soak` has five times as many."""

import mmap
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from callbacks.history import TimingWriter
from tests.soak.harness import OF_A_RUN, OF_AN_EPOCH, grown, soak

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_nothing_grows_over_hundreds_of_epochs():
    """In a process of its own: what other tests have left in this one may grow and shrink meanwhile."""
    command = [sys.executable, "-m", "tests.soak", "--epochs=400", "--first=80"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == "grown by more than it may: nothing"
    assert "Measured(epoch=80, " in ended.stdout
    assert "Measured(epoch=400, " in ended.stdout
    assert "children=0" not in ended.stdout


@pytest.mark.slow
def test_what_leaks_is_found(tmp_path, monkeypatch):
    """Four megabytes, an open file and a file of the run folder at the end of each epoch.

    The memory is mapped anew: a small block may come out of what the allocator keeps from the tests before, without any growth.
    """
    monkeypatch.chdir(tmp_path)
    kept = []
    plain = TimingWriter.on_train_epoch_end

    def leak(self, trainer, module):
        plain(self, trainer, module)
        path = self.path.with_name(f"left-{len(kept)}")
        path.touch()
        memory = mmap.mmap(-1, 4 * 2**20)
        memory.write(bytes(4 * 2**20))
        kept.append((memory, path.open()))

    monkeypatch.setattr(TimingWriter, "on_train_epoch_end", leak)
    before, after = soak(tmp_path, 60, 20)
    assert (after.descriptors - before.descriptors, after.files - before.files) == (40, 40)
    assert grown(before, after) == ["memory", "descriptors, threads, children or files"]
    same = replace(before, epoch=60, memory=before.memory + OF_A_RUN + 40 * OF_AN_EPOCH)
    assert grown(before, same) == []
    for memory, file in kept:
        memory.close()
        file.close()
