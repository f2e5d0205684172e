import numpy as np
import pytest
import torch
from torch.multiprocessing import spawn

from metrics.records import SampleRecords


def batch(indices):
    index = torch.tensor(indices)
    return {
        "index": index,
        "target": index % 3,
        "prediction": (index * 7) % 3,
        "probability": index.double() / 100,
        "loss": (index.float() - 4.5).to(torch.bfloat16),
    }


def check(rows, indices):
    """Each row's values are those its index was added with."""
    index = np.array(sorted(indices))
    assert np.array_equal(rows["index"], index)
    assert np.array_equal(rows["target"], index % 3)
    assert np.array_equal(rows["prediction"], index * 7 % 3)
    assert np.array_equal(rows["probability"], (index / 100).astype(np.float32))
    assert np.array_equal(rows["loss"], (index - 4.5).astype(np.float32))


def test_rows_are_sorted_and_repeated_ones_kept():
    records = SampleRecords()
    for indices in ([5, 2], [9], [2, 0]):
        records.update(**batch(indices))
    check(records.compute(), [0, 2, 2, 5, 9])
    records.reset()
    records.update(**batch([4]))
    check(records.compute(), [4])


def test_repeated_samples_come_in_the_same_order_whatever_was_first():
    def rows(first, second):
        records = SampleRecords()
        for loss in (first, second):
            records.update(**batch([3]) | {"loss": torch.tensor([loss])})
        return records.compute()["loss"].tolist()

    assert rows(0.5, 0.25) == rows(0.25, 0.5) == [0.25, 0.5]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_batch_gives_empty_columns():
    assert {name: (len(values), values.dtype) for name, values in SampleRecords().compute().items()} == {
        "index": (0, np.int64),
        "target": (0, np.int64),
        "prediction": (0, np.int64),
        "probability": (0, np.float32),
        "loss": (0, np.float32),
    }


@pytest.mark.parametrize("loss", [torch.tensor(1.0), torch.ones(3)])
def test_other_lengths_are_refused(loss):
    with pytest.raises(ValueError, match=r"index \(2,\).*loss \("):
        SampleRecords().update(**batch([1, 2]) | {"loss": loss})


def record_on_rank(rank, folder, batches):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    records = SampleRecords()
    for indices in batches[rank]:
        records.update(**batch(indices))
    np.savez(f"{folder}/{rank}.npz", **records.compute())
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("batches", [([[7, 3], [1]], [[2, 0, 5]]), ([[4, 1]], [])])
def test_two_ranks_gather_all_rows(tmp_path, batches):
    spawn(record_on_rank, (str(tmp_path), batches), nprocs=2)
    for rank in range(2):
        check(np.load(tmp_path / f"{rank}.npz"), [index for part in batches for each in part for index in each])
