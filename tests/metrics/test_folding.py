import numpy as np
import pytest
import torch

from metrics.confusion import confusion_matrix
from metrics.folding import fold


@pytest.mark.parametrize("seed", range(20))
def test_folding_equals_counting_with_folded_labels(seed):
    rng = np.random.default_rng(seed)
    fine = int(rng.integers(1, 30))
    coarse = int(rng.integers(1, fine + 1))
    mapping = rng.integers(0, coarse + 1, fine).tolist()  # some classes may have no coarse counterpart
    truth, prediction = torch.from_numpy(rng.integers(0, fine + 1, (2, 3000)))
    table = torch.tensor([*mapping, coarse])
    folded = fold(confusion_matrix(prediction, truth, fine), mapping, coarse)
    assert folded.dtype == torch.int64
    assert torch.equal(folded, confusion_matrix(table[prediction], table[truth], coarse))


def test_by_hand():
    confusion = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]])
    assert fold(confusion, [0, 1, 1], 2).tolist() == [[1, 5, 4], [14, 34, 20], [13, 29, 16]]


def test_many_matrices_at_once_and_two_steps_are_one():
    matrices = torch.randint(0, 100, (4, 2, 7, 7), generator=torch.Generator().manual_seed(0))
    first, second = [0, 0, 1, 2, 2, 3], [0, 1, 1, 0]
    two_steps = fold(fold(matrices, first, 4), second, 2)
    assert torch.equal(two_steps, fold(matrices, [second[i] for i in first], 2))
    assert torch.equal(two_steps[3, 1], fold(fold(matrices[3, 1], first, 4), second, 2))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [([0, 1], "mapping of 2 classes"), ([0, 1, 3], r"entry outside 0\.\.2"), ([0, 1, -1], r"entry outside 0\.\.2")],
)
def test_nonsense_is_refused(mapping, message):
    with pytest.raises(ValueError, match=message):
        fold(torch.zeros(4, 4, dtype=torch.int64), mapping, 2)
