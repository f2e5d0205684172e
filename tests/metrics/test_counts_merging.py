import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from metrics.counting import confusion_matrix
from metrics.counts import fold, merge_samples, remap, remap_samples


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


def test_sparse_matrices_are_folded_as_dense_ones_are_and_stay_what_they_were():
    draws = np.random.default_rng(0)
    dense = draws.poisson(2, (5, 7, 7)) * (draws.random((5, 7, 7)) < 0.4)
    matrices, mapping = csr_array(dense.reshape(5, -1)), [0, 0, 1, 2, 4, 3]  # 4 is void
    folded = merge_samples(matrices, [*mapping, 4], [*mapping, 4])
    assert folded.toarray().reshape(5, 5, 5).tolist() == fold(torch.from_numpy(dense), mapping, 4).tolist()
    assert np.array_equal(matrices.toarray(), dense.reshape(5, -1))
    rows = merge_samples(matrices, [*mapping, 4], range(7)).toarray().reshape(5, 5, 7)
    assert rows[:, 0].tolist() == (dense[:, 0] + dense[:, 1]).tolist()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [([0, 1], "mapping of 2 classes"), ([0, 1, 3], r"entry outside 0\.\.2"), ([0, 1, -1], r"entry outside 0\.\.2")],
)
def test_nonsense_is_refused(mapping, message):
    with pytest.raises(ValueError, match=message):
        fold(torch.zeros(4, 4, dtype=torch.int64), mapping, 2)


def test_remapping_by_hand():
    # Rows: two classes and void. Columns: three classes, of which the first is the second here and the last has none.
    counts = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
    assert remap(counts, [1, 0, 2]).tolist() == [[2, 1, 7], [6, 5, 15], [10, 9, 23]]


@pytest.mark.parametrize("seed", range(10))
def test_remapping_equals_counting_remapped_predictions(seed):
    draws = np.random.default_rng(seed)
    targets, sources = draws.integers(1, 9, 2).tolist()
    mapping = draws.integers(0, targets + 1, sources).tolist()
    truth = torch.from_numpy(draws.integers(0, targets + 1, (3, 400)))
    predicted = torch.from_numpy(draws.integers(0, sources + 1, (3, 400)))
    counted = torch.zeros(3, targets + 1, sources + 1, dtype=torch.int64)
    for frame in range(3):
        counted[frame].index_put_((truth[frame], predicted[frame]), torch.tensor(1), accumulate=True)
    remapped = torch.tensor([*mapping, targets])[predicted]
    direct = torch.stack([confusion_matrix(*pair, targets) for pair in zip(remapped, truth, strict=True)])
    assert torch.equal(remap(counted, mapping), direct)
    before = csr_array(counted.flatten(1).numpy())
    sparse = remap_samples(before, mapping)
    assert np.array_equal(before.toarray(), counted.flatten(1).numpy())  # it is kept beside what is made of it
    assert np.array_equal(sparse.toarray(), direct.flatten(1).numpy())
    assert sparse.nnz == (direct > 0).sum()
