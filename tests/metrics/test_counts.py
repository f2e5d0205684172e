import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from metrics.counting import confusion_matrices, confusion_matrix
from metrics.counts import Counts, RegionCounts


def counted(prediction, target, classes, predicted, **others):
    matrices = confusion_matrices(prediction, target, classes, predicted)
    weight = (target < classes).flatten(1).sum(1).numpy()
    return Counts(
        matrices.sum(0).numpy(), np.arange(len(target)), csr_array(matrices.flatten(1).numpy()), np.ones(len(target)), weight, **others
    )  # fmt: skip


def with_losses(loss, weight):
    empty = np.zeros((2, 2), np.int64)
    return Counts(
        empty, np.arange(len(loss)), csr_array((len(loss), 4), dtype=np.int64), np.array(loss), np.array(weight)
    )


def test_the_mean_loss_is_over_elements_with_truth():
    assert with_losses([1.0, 4.0, math.nan], [3, 1, 0]).mean_loss() == (3 * 1 + 4) / 4
    assert with_losses([math.nan], [0]).mean_loss() == 0
    assert math.isnan(with_losses([1.0, math.nan], [1, 1]).mean_loss())
    # The exact sum, in whatever order: 0.1 is added to what is far larger.
    assert with_losses([1e16, 0.1, -1e16, 0.1], [1, 1, 1, 1]).mean_loss() == pytest.approx(0.05)


def test_remapped_counts_are_those_of_remapped_predictions():
    draws = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (5, 6, 7), generator=draws)
    prediction = torch.randint(0, 6, target.shape, generator=draws)
    regions = RegionCounts(
        np.stack([confusion_matrix(prediction[i], target[i], 3, 5).numpy() for i in range(3)]), np.ones(3, int)
    )
    before = counted(prediction, target, 3, 5, regions=regions)
    mapping = [2, 0, 3, 0, 1]  # 3 is void
    found = before.remapped(mapping)
    expected = counted(torch.tensor([*mapping, 3])[prediction], target, 3, 3)
    assert np.array_equal(found.confusion, expected.confusion)
    assert (found.matrices != expected.matrices).nnz == 0
    assert found.regions.matrices[1].tolist() == expected.matrices[[1]].toarray().reshape(4, 4).tolist()
    assert found.regions.frames.tolist() == [1, 1, 1]
    assert found.before is before
    assert before.confusion.shape == (4, 6)
    assert counted(prediction, target, 3, 5).remapped(mapping).regions is None
