"""Weights of classes in the training loss."""

import pytest
import torch

from entry.builders.class_weights import class_weights


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ([5, 5], [1, 1]),
        ([1, 3], [4 / 2, 4 / 6]),  # all / (classes × own): the rare class three times as much
        ([2, 0, 6], [8 / 4, 8 / 2, 8 / 12]),  # two classes have samples; the empty one counts as 1
    ],
)
def test_class_weights_are_inverse_to_the_counts_with_a_mean_over_samples_of_1(counts, weights):
    found = class_weights(counts)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(weights)
    assert sum(count * weight for count, weight in zip(counts, found.tolist(), strict=True)) == pytest.approx(sum(counts))  # fmt: skip
