import pickle

import numpy as np
import pytest
import torch
from torch.multiprocessing import spawn

from metrics.confusion import ConfusionMatrix
from metrics.counting import count_without_waiting
from tests.metrics.test_counting import masks, sklearn_counts


def test_metric_adds_batches_resets_and_survives_pickling():
    metric = ConfusionMatrix(5)
    batches = [masks((20,), 5, seed=seed) for seed in range(3)]
    for prediction, target in batches:
        metric.update(prediction, target)
        metric = pickle.loads(pickle.dumps(metric))
    together = [torch.cat(part) for part in zip(*batches, strict=True)]
    result = metric.compute()
    assert np.array_equal(result, sklearn_counts(*together, 5))
    metric.update(*batches[0])
    assert int(result.sum()) == 60
    metric.reset()
    metric.update(*batches[0])
    assert np.array_equal(metric.compute(), sklearn_counts(*batches[0], 5))


def test_metric_notices_what_an_accelerator_left_out(monkeypatch):
    monkeypatch.setattr("metrics.counting.count_on_cpu", count_without_waiting)
    metric = ConfusionMatrix(2)
    metric.update(torch.tensor([3, 1]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"1 of 2 elements had a class index outside 0\.\.2"):
        metric.compute()


def test_metric_notices_what_was_left_out_elsewhere():
    metric = ConfusionMatrix(num_classes=2)
    metric.add(torch.tensor([[3, 0, 0], [0, 4, 0], [0, 0, 1]]), 8)
    assert metric.compute().sum() == 8
    metric.add(torch.tensor([[1, 0, 0], [0, 0, 0], [0, 0, 0]]), 3)
    with pytest.raises(ValueError, match=r"2 of 11 elements had a class index outside 0\.\.2"):
        metric.compute()


def count_on_rank(rank, init_file, result_file):
    torch.distributed.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=2)
    metric = ConfusionMatrix(5)
    for seed in range(rank, 3, 2):
        metric.update(*masks((20 + seed,), 5, seed=seed))
    counts = metric.compute()
    if rank == 1:
        torch.save(counts, result_file)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_count_as_one(tmp_path):
    spawn(count_on_rank, (str(tmp_path / "init"), str(tmp_path / "counts.pt")), nprocs=2)
    batches = [masks((20 + seed,), 5, seed=seed) for seed in range(3)]
    together = [torch.cat(part) for part in zip(*batches, strict=True)]
    assert np.array_equal(torch.load(tmp_path / "counts.pt"), sklearn_counts(*together, 5))
