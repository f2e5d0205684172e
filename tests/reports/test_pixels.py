import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from label_spaces.catalogue import load
from metrics.confusion import confusion_matrix
from reports.pixels import pixel_scores


def counted(space, frames=3):
    """Random frames of a label space, void among them: their matrices, and the truths and predictions."""
    draws = np.random.default_rng(0)
    truth = draws.integers(0, space.num_classes + 1, (frames, 500))
    guess = np.where(draws.random((frames, 500)) < 0.6, truth, draws.integers(0, space.num_classes + 1, (frames, 500)))
    matrices = [
        confusion_matrix(torch.from_numpy(g), torch.from_numpy(t), space.num_classes)
        for g, t in zip(guess, truth, strict=True)
    ]
    return torch.stack(matrices), truth, guess


def test_each_level_is_what_counting_the_coarser_classes_gives():
    space = load("idd_level3")
    matrices, truth, guess = counted(space)
    found = pixel_scores(matrices.sum(0), csr_array(matrices.flatten(1).numpy()), space)
    assert set(found["levels"]) == {"idd_level2", "idd_level1"}
    for name, level in found["levels"].items():
        coarse = load(name)
        table = np.array([*space.levels[name], coarse.num_classes])
        for entry, index in zip(level["classes"], range(coarse.num_classes), strict=True):
            true, said = table[truth] == index, table[guess] == index
            known = table[truth] != coarse.num_classes
            both, either = (true & said).sum(), ((true | said) & known).sum()
            assert entry["iou"] == pytest.approx(both / either)
    assert 0 < found["safe_miou"] < 1
    assert 0 < found["miou_image_worst"] <= found["miou_image"] < 1
    assert set(found["autonue_compat"]) == {"level3", "level2", "level1"}


def test_a_label_space_without_levels_has_none():
    space = load("voc21")
    matrices, *_ = counted(space)
    found = pixel_scores(matrices.sum(0), csr_array(matrices.flatten(1).numpy()), space)
    assert (found["levels"], found["safe_miou"], found["autonue_compat"]) == (None, None, None)


@pytest.mark.parametrize("name", ["idd_level3", "idd_lite"])
def test_without_truth_nothing_is_defined(name):
    space = load(name)
    matrices, *_ = counted(space)
    matrices[:, :-1] = 0
    found = pixel_scores(matrices.sum(0), csr_array(matrices.flatten(1).numpy()), space)
    levels = found.pop("levels") or {}
    assert set(found.values()) == {None}
    assert {level["miou"] for level in levels.values()} <= {None}
