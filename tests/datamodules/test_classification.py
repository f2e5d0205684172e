"""Classes from the samples, their counts, and what a baseline may know."""

import numpy as np
import pytest

from datamodules.classification import mean_colours
from datamodules.errors import DatasetError
from datamodules.splits.sample_table import SampleTable
from tests.datamodules.conftest import CLASSES, Toy


@pytest.fixture
def make(make_toy):
    return make_toy


def test_the_classes_are_those_of_the_samples_in_sorted_order(make):
    module = make()
    assert (module.unit, module.label_space.name) == ("images", "toy")
    assert module.label_space.classes == ("auto", "bus", "cart")
    assert module.class_counts("train") == [14, 14, 14]
    assert module.counts()["val"] == {"auto": 2, "bus": 2, "cart": 2}
    targets = module.targets("val", (8, 8))
    assert [module.label_space.classes[target] for target in targets] == [s.target for s in module.table.samples]


def test_a_dataset_may_order_its_classes_and_drop_some(make):
    class Ordered(Toy):
        def class_order(self, targets):
            return tuple(name for name in CLASSES if name in targets)

        def filter_split(self, table):
            return SampleTable(sample for sample in table.samples if sample.target != "auto")

    module = make(kind=Ordered)
    assert module.label_space.classes == ("cart", "bus")
    assert module.class_counts("train") == [14, 14]
    for batch in module.evaluation_dataloader("train"):
        names = [module.table.samples[index].target for index in batch["index"]]
        assert [module.label_space.classes[target] for target in batch["target"]] == names


def test_a_label_space_is_refused(make):
    with pytest.raises(DatasetError, match=r"data\.label_space=idd_lite is about masks; .* Leave it out"):
        make(label_space="idd_lite")


@pytest.mark.parametrize("cache", [True, False])
def test_baselines_may_know_the_mean_colour(make, cache):
    module = make(image_size=(11, 9), cache=cache, eval_size=(22, 18))
    module.setup("fit")
    for part in ("train", "val", "test"):
        chosen = module.indices(part)[::-2]
        found = module.baseline_features(part, chosen)
        assert list(found) == ["mean_colour"]
        pictures = [module.read(module.table.samples[index].name) for index in chosen]  # of 11 × 9 pixels already
        expected = np.array([[picture[..., channel].mean() for channel in range(3)] for picture in pictures])
        np.testing.assert_allclose(found["mean_colour"], expected, atol=1e-9 if part == "train" else 3)


def test_baselines_make_no_cache_for_a_few_samples(make, tmp_path):
    module = make(cache=True)
    before = Toy.reads.value
    module.baseline_features("train", module.indices("train")[:5])
    assert Toy.reads.value - before == 5
    assert not list((tmp_path / "cache").glob("*.npy"))
    module.setup("fit")
    before = Toy.reads.value
    module.baseline_features("train", module.indices("train"))
    assert Toy.reads.value == before
    assert module.baseline_features("val", [])["mean_colour"].shape == (0, 3)


def test_mean_colours_keep_the_order_of_the_indices():
    images = {0: np.full((2, 3, 3), 7, np.uint8), 5: np.zeros((2, 2, 3), np.uint8)}
    images[5][0, 0] = 4, 8, 100  # one pixel of four
    assert mean_colours(images.__getitem__, [5, 0]).tolist() == [[1, 2, 25], [7, 7, 7]]
    assert mean_colours(images.__getitem__, []).shape == (0, 3)
