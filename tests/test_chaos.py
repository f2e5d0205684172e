"""A run that is killed at any moment and resumed ends bit for bit as an undisturbed one. The long form: make chaos."""

import pytest
import torch

from tests.chaos.harness import (
    GPU,
    RECIPES,
    Setting,
    at_second,
    compare,
    finish,
    in_phase,
    kill_and_resume,
    make_data,
    train,
    undisturbed,
)

pytestmark = pytest.mark.slow
DOUBLE = ("trainer.precision=64-true",)
BF16 = (*GPU, "trainer.precision=bf16-mixed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The training data by task."""
    place = tmp_path_factory.mktemp("chaos")
    return {task: make_data(place / task, task) for task in RECIPES}


@pytest.fixture(scope="module")
def reference(tmp_path_factory, data):
    """Undisturbed runs by task and number of ranks, each made once."""
    return undisturbed(tmp_path_factory, data)


@pytest.mark.parametrize(
    ("setting", "moments", "phases"),
    [
        (Setting(1, 0, 2), [in_phase("step", 5)], {"step", "between"}),
        (Setting(1, 2, 1), [in_phase("step", 12), in_phase("step", 4)], {"step", "between"}),  # two in a row
        (Setting(1, 1, 0), [in_phase("validation", 2)], {"validation"}),
        (Setting(1, 0, 1), [in_phase("checkpoint", 3, 0.04)], {"checkpoint"}),
        (Setting(1, 0, 0), [in_phase("evaluation", 1)], {"evaluation"}),
        (Setting(1, 1, 1), [at_second(1.0)], None),  # it may have no folder yet
        (Setting(2, 1, 0), [in_phase("step", 6)], {"step", "between"}),
        (Setting(2, 0, 1), [in_phase("validation", 1), in_phase("checkpoint", 3, 0.04)], {"validation", "checkpoint"}),
        (Setting(1, 0, 2, task="segmentation"), [in_phase("step", 6)], {"step", "between"}),
        (Setting(2, 2, 0, task="segmentation"), [in_phase("step", 7)], {"step", "between"}),
        (Setting(1, 0, 0, DOUBLE), [in_phase("step", 11)], {"step", "between"}),
        (Setting(1, 0, 0, DOUBLE, task="segmentation"), [in_phase("step", 6)], {"step", "between"}),  # with an average
        *(
            pytest.param(Setting(1, 0, 2, extra, task), moments, {"step", "between"}, marks=needs_gpu)
            for extra in (GPU, BF16)
            for task in RECIPES
            for moments in ([in_phase("step", 5)], [in_phase("step", 10), in_phase("step", 2)])
        ),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path, data, reference, setting, moments, phases):
    kept = reference(setting.task, setting.ranks, *setting.extra)
    kills = kill_and_resume(tmp_path, data[setting.task], setting, moments, kept)
    assert len(kills) == len(moments)
    assert phases is None or {killed.phase for killed in kills} <= phases
    assert kills[0].differences == []


def test_the_comparison_notices(tmp_path, data, reference):
    """Another seed must not pass for the same run."""
    finish(train(tmp_path / "run", data["classification"], Setting(1, extra=("seed=1",))))
    found = compare(reference("classification", 1), tmp_path / "run")
    assert "history.csv" in found
    assert any(name.startswith("last.ckpt state_dict") for name in found)
