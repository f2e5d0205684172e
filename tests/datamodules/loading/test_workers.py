import multiprocessing
import os
import signal
import time

from datamodules.loading.dataset import EvaluationBatches, make_loader
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
