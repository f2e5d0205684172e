"""A run that was killed at any moment ends as one that nobody killed, to the last bit. The long form: make chaos."""

import pytest

from tests.chaos.__main__ import HARD
from tests.chaos.harness import Setting, at_second, finish, in_phase, kill_and_resume, train
from tests.conftest import make_image_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_image_folder(tmp_path_factory.mktemp("chaos") / "data", per_class=30, classes=HARD)


@pytest.fixture(scope="module")
def references(tmp_path_factory, data):
    known = {}

    def of(ranks):
        if ranks not in known:
            known[ranks] = tmp_path_factory.mktemp("reference") / "run"
            finish(train(known[ranks], data, Setting(ranks)))
        return known[ranks]

    return of


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
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path, data, references, setting, moments, phases):
    kills = kill_and_resume(tmp_path, data, setting, moments, references(setting.ranks))
    assert len(kills) == len(moments)
    assert phases is None or {killed.phase for killed in kills} <= phases
    assert kills[0].differences == []


def test_the_comparison_notices(tmp_path, data, references):
    """Another seed must not pass for the same run."""
    from tests.chaos.harness import compare

    finish(train(tmp_path / "run", data, Setting(1, extra=("seed=1",))))
    found = compare(references(1), tmp_path / "run")
    assert "history.csv" in found
    assert any(name.startswith("last.ckpt state_dict") for name in found)
