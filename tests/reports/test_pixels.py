import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from label_spaces.catalogue import load
from metrics.counting import confusion_matrix
from metrics.counts import Counts
from metrics.safe_iou import safe_iou, tree_distance
from reports.pixels import pixel_scores
from tests.metrics.test_scores import assert_equals_sklearn


def counted(space, seed=0, frames=3):
    """Random frames of a few classes of a label space, void among them: their matrices, truths and predictions."""
    draws = np.random.default_rng(seed)
    some = draws.choice(space.num_classes + 1, (2, draws.integers(2, space.num_classes + 2)))
    truth, other = (draws.choice(each, (frames, 500)) for each in some)
    truth[0, 0] = draws.integers(space.num_classes)  # there is some truth
    guess = np.where(draws.random((frames, 500)) < 0.6, truth, other)
    matrices = [
        confusion_matrix(torch.from_numpy(g), torch.from_numpy(t), space.num_classes)
        for g, t in zip(guess, truth, strict=True)
    ]
    return torch.stack(matrices), truth, guess


def scores(matrices, space):
    """The scores of frames that are each their own group."""
    index, weight = np.arange(len(matrices)), matrices[:, :-1].sum((1, 2)).numpy()
    counts = Counts(matrices.sum(0).numpy(), index, csr_array(matrices.flatten(1).numpy()), np.ones(len(index)), weight)
    return pixel_scores(counts, space, index, None)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("name", "levels"), [("idd_level3", {"idd_level2", "idd_level1"}), ("idd_level2", {"idd_level1"})]
)
def test_every_score_of_each_level_is_sklearns_of_the_coarser_classes(name, levels, seed):
    space = load(name)
    matrices, truth, guess = counted(space, seed)
    found = scores(matrices, space)
    assert set(found["levels"]) == levels
    for coarse, level in found["levels"].items():
        count = load(coarse).num_classes
        table = np.array([*space.levels[coarse], count])
        classes, intervals = level.pop("classes"), level.pop("intervals")
        low, high = intervals["accuracy"]
        assert low <= level["accuracy"] <= high
        assert [entry["name"] for entry in classes] == list(load(coarse).classes)
        assert_equals_sklearn(level, classes, table[truth].ravel(), table[guess].ravel(), count)


def test_what_only_the_finest_level_has():
    space = load("idd_level3")
    matrices, truth, guess = counted(space)
    found = scores(matrices, space)
    known = truth < space.num_classes
    ious = safe_iou(matrices.sum(0), tree_distance(list(space.levels.values())), space.important).numpy()
    assert found["safe_miou"] == pytest.approx(ious[~np.isnan(ious)].mean())
    assert found["safe_miou_classes"] == len((set(truth[known]) | set(guess[known])) - {space.num_classes})
    assert 0 < found["miou_image_worst"] <= found["miou_image"] < 1
    assert set(found["autonue_compat"]) == {"level3", "level2", "level1"}


def test_a_label_space_without_levels_has_none():
    space = load("voc21")
    matrices, *_ = counted(space)
    found = scores(matrices, space)
    assert (found["levels"], found["safe_miou"], found["autonue_compat"]) == (None, None, None)


@pytest.mark.parametrize("name", ["idd_level3", "idd_lite"])
def test_without_truth_nothing_is_defined(name):
    space = load(name)
    matrices, *_ = counted(space)
    matrices[:, :-1] = 0
    found = scores(matrices, space)
    levels = found.pop("levels") or {}
    assert set(found.pop("intervals").values()) == {None}
    assert found.pop("safe_miou_classes") == (0 if name == "idd_level3" else None)
    assert set(found.values()) == {None}
    assert {level["miou"] for level in levels.values()} <= {None}
