"""docs/SCALING.md has what benchmarks/scaling.py computes, from counts that agree with what torchvision publishes."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision.models import get_model_weights

from benchmarks.ranks import deal
from benchmarks.scaling import REACHED, WORKS, Work, all_reduce, efficiency, modelled

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "SCALING.md"


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_parameters_and_operations_are_those_that_are_published(work):
    published = get_model_weights(work.name).DEFAULT.meta
    size = (520, 520) if work.aux else (224, 224)
    parameters, forward, both = replace(work, size=size).counted
    assert parameters == published["num_params"]
    assert forward / 2e9 == pytest.approx(published["_ops"], rel=1e-3)  # they count a multiplication with its addition
    assert 2.9 < both / forward < 3  # all but the first layer compute gradients of their inputs too


def test_an_all_reduce_takes_what_its_slowest_link_needs():
    assert all_reduce(240e9, 8, 12.5e9) == pytest.approx(2 * 7 / 8 / REACHED * 240 / 300 + 14e-5)
    assert all_reduce(100e9, 16, 12.5e9) == pytest.approx(2 * 15 / 16 / REACHED * 8 + 30e-5)


def test_efficiency_is_the_part_of_the_time_in_which_devices_compute():
    work = Work("resnet18", (224, 224), 64, 1)
    send = all_reduce(work.gradient, 64, 12.5e9)
    after, during = efficiency(work, 64, 12.5e9)
    assert after == pytest.approx(work.compute() / (work.compute() + send))
    assert during == pytest.approx(
        work.compute() / (work.compute() / 3 + send)
    )  # the backward pass is hidden behind it
    enough = replace(work, batch=work.smallest(64, 12.5e9, 0.8))
    assert efficiency(enough, 64, 12.5e9)[0] >= 0.8 > efficiency(replace(enough, batch=enough.batch - 1), 64, 12.5e9)[0]


def test_the_document_has_the_tables():
    text = DOCUMENT.read_text(encoding="utf-8")
    missing = [name for name, table in modelled().items() if table not in text]
    assert not missing, "run python benchmarks/scaling.py"


@pytest.mark.parametrize("count", [pytest.param(6993, marks=pytest.mark.slow), 300])
def test_64_ranks_get_each_sample_once_and_count_the_matrix_of_one(count):
    dealt, alone = deal(count, 256, 64), deal(count, 256, 1)
    assert dealt.training == dealt.evaluation == Counter(range(count))
    assert dealt.matrix == alone.matrix
    assert sum(map(sum, dealt.matrix)) == 16 * count
