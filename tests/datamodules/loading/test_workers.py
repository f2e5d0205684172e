import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import weakref
from typing import ClassVar

import pytest
import torch
from torch.utils.data import BatchSampler, Dataset, SequentialSampler, default_collate

from datamodules.loading import workers
from datamodules.loading.dataset import EvaluationBatches, make_loader
from entry.request import PROJECT
from tests.datamodules.loading.test_dataset import dataset


def begun(loader):
    """The batches after the first, and the one process that reads them."""
    others = {*multiprocessing.active_children()}
    batches = iter(loader)
    next(batches)
    [worker] = {*multiprocessing.active_children()} - others
    return batches, worker


def test_a_worker_outlives_a_first_sigterm_and_no_second():
    loader = make_loader(dataset(), EvaluationBatches(range(6), 1), workers=1, pin_memory=False)
    batches, worker = begun(loader)
    os.kill(worker.pid, signal.SIGTERM)
    assert [batch["index"].tolist() for batch in batches] == [[1], [2], [3], [4], [5]]

    batches, worker = begun(loader)
    for _ in range(2):
        os.kill(worker.pid, signal.SIGTERM)
        time.sleep(0.1)
    worker.join(timeout=10)
    assert worker.exitcode == 0


def test_a_worker_that_still_reads_does_not_keep_its_command_from_ending():
    program = """
import multiprocessing, time
from datamodules.loading import workers
multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)).start()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


class Slow(Dataset):
    """Its second batch takes for ever."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index:
            time.sleep(1000)
        return {"x": torch.zeros(1)}


def test_a_worker_that_is_killed_is_noticed_where_the_signal_is_lost(monkeypatch):
    monkeypatch.setattr(workers, "NOTICED_SECONDS", 0.3)
    batches = BatchSampler(SequentialSampler(Slow()), 1, drop_last=False)
    loader = make_loader(Slow(), batches, 1, pin_memory=False, collate_fn=default_collate)
    found = iter(loader)
    assert next(found)["x"].shape == (1, 1)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise the error at once
    try:
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"):
            next(found)
        assert time.monotonic() - began < 60  # after STALLED_SECONDS otherwise
        del found, loader
        gc.collect()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_wait_is_as_long_as_before_and_keeps_no_iterator(monkeypatch):
    class Iterator:
        waits: ClassVar[list[float]] = []

        def _try_get_data(self, timeout):
            self.waits.append(round(timeout, 1))
            time.sleep(timeout)
            return False, None

    monkeypatch.setattr(workers, "NOTICED_SECONDS", 0.2)
    batches = Iterator()
    for _ in range(3):  # once an epoch
        workers.notice_ended(batches)
    assert batches._try_get_data(0.5) == (False, None)  # noqa: SLF001
    assert Iterator.waits == [0.2, 0.2, 0.1]
    kept = weakref.ref(batches)
    del batches
    assert kept() is None
