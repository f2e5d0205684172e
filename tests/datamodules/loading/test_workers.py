import multiprocessing
import os
import signal
import subprocess
import sys
import time

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
