import numpy as np
import pytest
import torch

from metrics.safe_iou import safe_iou, tree_distance
from metrics.scores import iou, means

# Five classes: car and van meet at the first coarser level, tree and they at the root, person and dog at the second.
LEVELS = [[0, 0, 1, 2, 3], [0, 0, 1, 1, 2]]


def naive_safe_iou(matrix, levels, important):
    """Loops over classes and levels, from the definition."""
    classes = len(matrix) - 1
    result = []
    for c in range(classes):
        hits = matrix[c][c]
        union = sum(matrix[c]) + sum(matrix[s][c] for s in range(classes)) - hits
        value = hits
        if c in important:
            for s in range(classes):
                if s != c:
                    d = 1 if levels[0][c] == levels[0][s] else 2 if levels[1][c] == levels[1][s] else 3
                    value -= d / 3 * matrix[c][s]
        result.append(value / union if union else float("nan"))
    return result


def test_distances_by_hand():
    thirds = [[0, 1, 3, 3, 3], [1, 0, 3, 3, 3], [3, 3, 0, 2, 3], [3, 3, 2, 0, 3], [3, 3, 3, 3, 0]]
    torch.testing.assert_close(tree_distance(LEVELS), torch.tensor(thirds, dtype=torch.float64) / 3)


def test_by_hand():
    # Truth car: 6 found, 2 as van (1/3 each), 1 as person (3/3), 1 void (a miss, nothing worse). Truth tree: 4 of 5.
    matrix = torch.zeros(6, 6, dtype=torch.int64)
    matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[0, 5] = 6, 2, 1, 1
    matrix[4, 4], matrix[4, 0] = 4, 1
    matrix[5, 0] = 50  # void truth does not count
    got = safe_iou(matrix, tree_distance(LEVELS), [0, 1, 2])
    expected = [(6 - 2 / 3 - 1) / 11, 0, 0, float("nan"), 4 / 5]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_definition_looped(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 50, (6, 6))
    if seed % 2:
        matrix[3, :] = matrix[:, 3] = 0
    important = [c for c in range(5) if rng.random() < 0.5]
    got = safe_iou(torch.from_numpy(matrix), tree_distance(LEVELS), important)
    np.testing.assert_allclose(got, naive_safe_iou(matrix.tolist(), LEVELS, important), rtol=1e-12)


def test_bounds():
    matrix = torch.randint(0, 50, (8, 6, 6), generator=torch.Generator().manual_seed(0))
    distance = tree_distance(LEVELS)
    assert torch.equal(safe_iou(matrix, distance, []), iou(matrix))
    assert torch.equal(safe_iou(matrix, distance, []).nanmean(-1), means(matrix)["miou"])
    assert (safe_iou(matrix, distance, range(5)) < iou(matrix)).all()
    worst = torch.tensor([[0, 0, 9, 0, 0, 0], *[[0] * 6] * 5])  # every car a person
    assert safe_iou(worst, distance, [0])[0] == -1
    assert safe_iou(torch.zeros(6, 6, dtype=torch.int64), distance, [0]).isnan().all()
