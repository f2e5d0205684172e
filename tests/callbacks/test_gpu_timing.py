"""On a stand-in of a GPU's queue: work that is begun there takes seconds of its own, and events pass when it comes to them."""

from types import SimpleNamespace

import pytest
import torch

from callbacks.gpu_timing import GPUTimingWriter
from run_files import read_csv


class Queue:
    """A GPU that begins its work when it is given, or when the work before has ended."""

    def __init__(self):
        self.host = self.free = 0.0

    def work(self, seconds):
        self.free = max(self.free, self.host) + seconds

    def event(self, device, *, enable_timing):
        assert (device, enable_timing) == ("cuda", True)
        queue = self

        class Event:
            def record(self):
                queue.work(0)
                self.time = queue.free

            def query(self):
                return self.time <= queue.host

            def elapsed_time(self, later):
                assert self.query()
                assert later.query()
                return 1000 * (later.time - self.time)

        return Event()


@pytest.mark.parametrize(("reading", "idle"), [(0.1, 0.1), (1.0, 1.0), (3.0, 3.0 + 4 * 2.0)])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_gpu_is_idle_only_while_it_has_no_step_to_compute(tmp_path, monkeypatch, reading, idle, resumed):
    queue = Queue()
    monkeypatch.setattr(torch, "Event", queue.event)
    loader = SimpleNamespace(waited=5 * reading, num_workers=2, cached=True)
    trainer = SimpleNamespace(current_epoch=0, is_global_zero=True, train_dataloader=loader)
    writer = GPUTimingWriter(tmp_path / "timing.csv")
    writer.on_train_start(trainer, None)
    if not resumed:
        writer.on_train_epoch_start(trainer, None)
    for index in range(5):  # each step takes the GPU one second, and the process almost none
        queue.host += reading
        writer.on_train_batch_start(trainer, None, None, index)
        queue.work(1.0)
        writer.on_train_batch_end(trainer, None, None, None, index)
    writer.on_validation_start(trainer, None)
    queue.host = max(queue.host, queue.free)  # scores are read
    writer.on_train_epoch_end(trainer, None)
    (row,) = read_csv(tmp_path / "timing.csv")
    assert (float(row["idle"]), float(row["waited"])) == (pytest.approx(idle), 5 * reading)
    assert (row["workers"], row["cached"]) == ("2", "1")
