import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_matrix
from torch.multiprocessing import spawn
from torch.nn import functional

from metrics.counting import confusion_matrices, image_matrices
from metrics.per_sample import ImageRecords, MaskRecords

C = 4


def images(indices):
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
    records = ImageRecords(3)
    for indices in ([5, 2], [9], [2, 0]):
        records.update(**images(indices))
    check(records.compute(), [0, 2, 2, 5, 9])
    records.reset()
    records.update(**images([4]))
    check(records.compute(), [4])


def test_repeated_samples_come_in_the_same_order_whatever_was_first():
    def rows(first, second):
        records = ImageRecords(3)
        for loss in (first, second):
            records.update(**images([3]) | {"loss": torch.tensor([loss])})
        return records.compute()["loss"].tolist()

    assert rows(0.5, 0.25) == rows(0.25, 0.5) == [0.25, 0.5]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_batch_gives_empty_columns():
    assert {name: (len(values), values.dtype) for name, values in ImageRecords(3).compute().items()} == {
        "index": (0, np.int64),
        "target": (0, np.int64),
        "prediction": (0, np.int64),
        "probability": (0, np.float32),
        "loss": (0, np.float32),
    }
    assert not ImageRecords(3).counts().confusion.any()
    counts = MaskRecords(C, 6).counts()
    assert (len(counts.index), counts.matrices.shape, counts.confusion.shape) == (0, (0, (C + 1) * 7), (C + 1, 7))


@pytest.mark.parametrize("loss", [torch.tensor(1.0), torch.ones(3)])
def test_other_lengths_are_refused(loss):
    with pytest.raises(ValueError, match=r"index \(2,\).*loss \("):
        ImageRecords(3).update(**images([1, 2]) | {"loss": loss})


def test_counts_of_images_by_hand():
    records = ImageRecords(3)
    records.update(**images([2, 1, 4]))  # true 2, 1, 1, predicted 2, 1, 1
    counts = records.counts()
    assert counts.confusion.tolist() == [[0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert counts.matrices.toarray().argmax(1).tolist() == [5, 10, 5]
    assert counts.predictions.target.tolist() == [1, 2, 1]
    assert counts.weight.tolist() == [1, 1, 1]
    assert counts.mean_loss() == (-3.5 - 2.5 - 0.5) / 3


def test_an_image_is_a_matrix_of_one_cell():
    matrices = image_matrices(np.array([0, 2, 1]), np.array([1, 2, 0]), 2)
    assert matrices.toarray().nonzero()[1].tolist() == [1, 8, 3]
    assert matrices.data.tolist() == [1, 1, 1]


def record_on_rank(rank, folder, batches):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    records = ImageRecords(3)
    for indices in batches[rank]:
        records.update(**images(indices))
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


def masks(seed, size=3):
    draws = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, C, 5, 7, generator=draws)
    target = torch.randint(0, C + 1, (size, 5, 7), generator=draws, dtype=torch.uint8)
    return logits, target


def test_each_sample_is_counted_separately():
    logits, target = masks(0)
    prediction = logits.argmax(1)
    found = confusion_matrices(prediction, target, C)
    for matrix, one, true in zip(found, prediction, target, strict=True):
        assert np.array_equal(matrix, sklearn_matrix(true.flatten(), one.flatten(), labels=range(C + 1)))
    assert confusion_matrices(prediction[:0], target[:0], C).shape == (0, C + 1, C + 1)


def add(records, seed, index):
    logits, target = masks(seed, len(index))
    loss = functional.cross_entropy(logits, target.long(), ignore_index=C, reduction="none").flatten(1).sum(1)
    records.update(index=torch.tensor(index), matrices=confusion_matrices(logits.argmax(1), target, C), loss=loss)
    return logits, target


def test_counts_of_masks_do_not_depend_on_the_order():
    one, other = MaskRecords(C), MaskRecords(C)
    logits, target = add(one, 1, [5, 2, 9])
    rest, rest_target = add(one, 2, [0, 7])
    add(other, 2, [0, 7])
    add(other, 1, [5, 2, 9])
    a, b = one.counts(), other.counts()
    assert a.index.tolist() == b.index.tolist() == [0, 2, 5, 7, 9]
    assert (a.matrices != b.matrices).nnz == 0
    assert np.array_equal(a.loss, b.loss)
    expected = functional.cross_entropy(logits[1:2], target[1:2].long(), ignore_index=C)
    assert a.loss[1] == pytest.approx(expected.item(), rel=1e-6)
    assert a.weight[1] == (target[1] != C).sum()
    prediction, true = torch.cat([logits, rest]).argmax(1), torch.cat([target, rest_target])
    assert a.confusion.tolist() == sklearn_matrix(true.flatten(), prediction.flatten(), labels=range(C + 1)).tolist()
    expected = functional.cross_entropy(torch.cat([logits, rest]), true.long(), ignore_index=C)
    assert a.mean_loss() == pytest.approx(expected.item(), rel=1e-6)


def test_a_frame_without_truth_has_no_loss():
    records = MaskRecords(C)
    void = torch.full((1, 2, 2), C, dtype=torch.uint8)
    matrices = confusion_matrices(torch.zeros_like(void), void, C)
    records.update(index=torch.tensor([0]), matrices=matrices, loss=torch.zeros(1))
    counts = records.counts()
    assert np.isnan(counts.loss[0])
    assert (counts.weight[0], counts.mean_loss()) == (0, 0)


def test_predictions_in_another_label_space():
    _, target = masks(3)
    prediction = torch.randint(0, 7, target.shape, generator=torch.Generator().manual_seed(5))
    matrices = confusion_matrices(prediction, target, C, 6)
    assert matrices.shape == (3, C + 1, 7)
    records = MaskRecords(C, 6)
    records.update(index=torch.tensor([4, 1, 0]), matrices=matrices, loss=torch.full((3,), torch.nan))
    counts = records.counts()
    assert counts.matrices.toarray()[0].tolist() == matrices[2].flatten().tolist()
    assert counts.weight.tolist() == (target != C).flatten(1).sum(1).flip(0).tolist()
    assert np.isnan(counts.mean_loss())
    assert confusion_matrices(prediction[:0], target[:0], C, 6).shape == (0, C + 1, 7)


def test_what_a_worker_passed_on_in_shared_memory_is_not_kept():
    records = ImageRecords(3)
    batch = {"index": torch.tensor([4]), "target": torch.tensor([2]), "prediction": torch.tensor([1]), "probability": torch.tensor([0.5]), "loss": torch.tensor([1.5])}  # fmt: skip
    for values in batch.values():
        values.share_memory_()
    records.update(**batch)
    assert not any(kept.is_shared() for name in batch for kept in getattr(records, name))
    for values in batch.values():
        values.zero_()
    assert {name: values.tolist() for name, values in records.compute().items()} == {"index": [4], "target": [2], "prediction": [1], "probability": [0.5], "loss": [1.5]}  # fmt: skip
