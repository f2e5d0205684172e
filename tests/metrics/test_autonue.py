import numpy as np
import pytest
import torch

from metrics.autonue import autonue_compat, idd_lite_compat
from metrics.counts import fold
from metrics.scores import mean_scores

LEVEL2 = (0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8, 8, 8, 9, 9, 10, 10, 11, 11, 11, 12, 12, 13, 13, 14, 15)
LEVEL1 = (0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6)


def official(matrix, groups, rows):
    """IoU of groups of ids, cell by cell: truth runs over `rows` groups, a miss over every listed column."""
    result = []
    for mine in groups:
        hits = sum(matrix[i][j] for i in mine for j in mine)
        true = sum(matrix[i][j] for i in mine for other in rows for j in other)
        found = sum(matrix[i][j] for other in groups for i in other for j in mine)
        result.append(hits / (true + found - hits) if true + found - hits else np.nan)
    return result


def groups_of(mapping):
    return [[i for i, coarse in enumerate(mapping) if coarse == group] for group in range(max(mapping) + 1)]


def random_matrix(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 1000, (27, 27))
    matrix[range(26), range(26)] += 20_000
    return matrix


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_official_arithmetic(seed):
    matrix = random_matrix(seed)
    single = [[i] for i in range(26)]
    expected = {
        "level3": official(matrix, single, [*single, [26]]),
        "level2": official(matrix, groups_of(LEVEL2), groups_of(LEVEL2)),
        "level1": official(matrix, groups_of(LEVEL1), groups_of(LEVEL1)),  # the level-2 table, on level-3 ids
    }
    got = autonue_compat(torch.from_numpy(matrix), LEVEL2, LEVEL1)
    for level, ious in expected.items():
        assert got[level]["iou"] == pytest.approx(ious, abs=1e-9)
        assert got[level]["miou"] == got[level]["miou_defined"] == pytest.approx(np.mean(ious), abs=1e-9)


def test_level_3_is_our_rule_and_the_others_are_not():
    matrix = torch.from_numpy(random_matrix(9))
    got = autonue_compat(matrix, LEVEL2, LEVEL1)
    assert got["level3"]["miou"] == pytest.approx(mean_scores(matrix)["miou"], abs=1e-9)
    assert got["level2"]["miou"] > mean_scores(fold(matrix, LEVEL2, 16))["miou"]
    without_void_predictions = matrix.clone()
    without_void_predictions[:, 26] = 0
    honest = mean_scores(fold(without_void_predictions, LEVEL2, 16))["miou"]
    assert got["level2"]["miou"] == pytest.approx(honest, abs=1e-9)


def test_what_level_1_prints_as_sky_is_fence():
    # Every fence (15) is found, every sky (25) is taken for a building (22).
    matrix = torch.diag(torch.full((27,), 10))
    matrix[25, 25], matrix[25, 22] = 0, 10
    assert autonue_compat(matrix, LEVEL2, LEVEL1)["level1"]["iou"][6] == 1


def test_an_absent_class_makes_the_printed_mean_nan():
    matrix = torch.from_numpy(random_matrix(3))
    matrix[15, :] = matrix[:, 15] = 0
    got = autonue_compat(matrix, LEVEL2, LEVEL1)
    assert got["level3"]["miou"] is None
    assert got["level3"]["iou"][15] is None
    assert got["level3"]["miou_defined"] == pytest.approx(mean_scores(matrix)["miou"], abs=1e-9)
    assert got["level2"]["miou"] is not None  # guard rail is still there
    assert got["level1"]["miou"] is None


def test_idd_lite_prints_seven_eighths():
    matrix = torch.diag(torch.tensor([9, 8, 7, 6, 5, 4, 3, 0]))
    matrix[0, 1], matrix[7, 2] = 2, 1  # one pixel of void truth, so that the eighth class exists and has IoU 0
    got = idd_lite_compat(matrix)
    assert got["classes"]["miou"] == pytest.approx((9 / 11 + 8 / 10 + 5) / 7, abs=1e-12)
    assert got["void_as_class"]["miou"] == pytest.approx((9 / 11 + 8 / 10 + 7 / 8 + 4 + 0) / 8, abs=1e-12)
    assert got["classes"]["miou"] == pytest.approx(mean_scores(matrix)["miou"])
