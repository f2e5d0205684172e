"""The command line with which a sweep goes on."""

import pytest

from entry.cli.sweeps import resumed
from entry.errors import RequestError
from run_folder import RunFolderError, write_json


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "a=b (1)"
    folder.mkdir()
    write_json(folder / "sweep.json", {"arguments": ["--config-dir=/my/conf", "hydra/sweeper=optuna", "seed=1,2", "n_trials=5"]})  # fmt: skip
    return folder


def test_alone_it_repeats_what_was_typed(sweep):
    typed = f'sweep.resume="{sweep}"'
    assert resumed(["-m", typed]) == [
        "-m",
        "--config-dir=/my/conf",
        "hydra/sweeper=optuna",
        "seed=1,2",
        "n_trials=5",
        typed,
        f'hydra.sweep.dir="{sweep}"',
    ]
    assert resumed([typed]) == resumed(["-m", typed])


def test_what_is_typed_again_replaces_what_was(sweep, monkeypatch):
    monkeypatch.chdir(sweep.parent)
    found = resumed(["-m", "--config-dir=other", "n_trials=9", "allow=[mine]", 'sweep.resume="a=b (1)"', "seed=1,2"])
    assert found[:-2] == ["-m", "--config-dir=other", "hydra/sweeper=optuna", "n_trials=9", "allow=[mine]", "seed=1,2"]
    assert found[-1] == f'hydra.sweep.dir="{sweep}"'


def test_what_is_no_sweep_is_refused(tmp_path):
    for typed, reason in (
        (f"sweep.resume={tmp_path}", "it has no sweep.json"),
        (f"sweep.resume={tmp_path}/none", "there is no such folder"),
        ("sweep.resume=", "Type the folder of a sweep"),
        ("sweep.resume=a b(", "cannot be read"),
    ):
        with pytest.raises(RequestError, match=reason):
            resumed(["-m", typed])


@pytest.mark.parametrize("content", [[], {}, {"arguments": "seed=1"}, {"arguments": [1]}, None])
def test_a_damaged_sweep_is_named(sweep, content):
    write_json(sweep / "sweep.json", content)
    reason = "arguments" if isinstance(content, dict) else "it is no JSON object"
    with pytest.raises((RequestError, RunFolderError), match=rf"sweep\.json is damaged: {reason}"):
        resumed(["-m", f'sweep.resume="{sweep}"'])
