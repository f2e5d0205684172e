import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_matrix
from torch.nn import functional

from metrics.pixel_records import PixelRecords, confusion_matrices

C = 4


def batch(seed, size=3):
    draws = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, C, 5, 7, generator=draws)
    target = torch.randint(0, C + 1, (size, 5, 7), generator=draws, dtype=torch.uint8)
    return logits, target


def test_each_sample_is_counted_by_itself():
    logits, target = batch(0)
    guess = logits.argmax(1)
    found = confusion_matrices(guess, target, C)
    for matrix, one, true in zip(found, guess, target, strict=True):
        assert np.array_equal(matrix, sklearn_matrix(true.flatten(), one.flatten(), labels=range(C + 1)))
    assert confusion_matrices(guess[:0], target[:0], C).shape == (0, C + 1, C + 1)


def add(records, seed, index):
    logits, target = batch(seed, len(index))
    loss = functional.cross_entropy(logits, target.long(), ignore_index=C, reduction="none").flatten(1).sum(1)
    records.update(torch.tensor(index), confusion_matrices(logits.argmax(1), target, C), loss)
    return logits, target


def test_rows_are_sorted_whatever_the_order_they_came_in():
    one, other = PixelRecords(C), PixelRecords(C)
    logits, target = add(one, 1, [5, 2, 9])
    add(one, 2, [0, 7])
    add(other, 2, [0, 7])
    add(other, 1, [5, 2, 9])
    a, b = one.compute(), other.compute()
    assert a["index"].tolist() == b["index"].tolist() == [0, 2, 5, 7, 9]
    assert (a["matrices"] != b["matrices"]).nnz == 0
    assert np.array_equal(a["loss"], b["loss"])
    expected = functional.cross_entropy(logits[1:2], target[1:2].long(), ignore_index=C)
    assert a["loss"][1] == pytest.approx(expected.item(), rel=1e-6)
    assert a["weight"][1] == (target[1] != C).sum()
    assert a["matrices"].sum() == 5 * 35


def test_a_frame_without_truth_has_no_loss():
    records = PixelRecords(C)
    void = torch.full((1, 2, 2), C, dtype=torch.uint8)
    records.update(torch.tensor([0]), confusion_matrices(torch.zeros_like(void), void, C), torch.zeros(1))
    facts = records.compute()
    assert np.isnan(facts["loss"][0])
    assert facts["weight"][0] == 0


def test_nothing_counted_is_nothing():
    facts = PixelRecords(C).compute()
    assert (len(facts["index"]), facts["matrices"].shape) == (0, (0, (C + 1) ** 2))


def test_predictions_in_another_label_space():
    _, target = batch(3)
    guess = torch.randint(0, 7, target.shape, generator=torch.Generator().manual_seed(5))
    matrices = confusion_matrices(guess, target, C, 6)
    assert matrices.shape == (3, C + 1, 7)
    records = PixelRecords(C, 6)
    assert records.compute()["matrices"].shape == (0, (C + 1) * 7)
    records.update(torch.tensor([4, 1, 0]), matrices, torch.full((3,), torch.nan))
    facts = records.compute()
    assert facts["matrices"].toarray()[0].tolist() == matrices[2].flatten().tolist()
    assert facts["weight"].tolist() == (target != C).flatten(1).sum(1).flip(0).tolist()
    assert confusion_matrices(guess[:0], target[:0], C, 6).shape == (0, C + 1, 7)
