"""What a command line requests: its keys, what is evaluated, and this process's number."""

import pytest

from entry.errors import RequestError
from entry.request import external_kind, launched, rank, world_size
from settings.errors import SettingsError
from tests.entry.config.test_resolve import request as composed


def test_typed_keys_have_no_prefix_and_no_value(tmp_path):
    request = composed(tmp_path, "seed=3", "+callbacks.x._target_=a.B", "++model.name='y=z'", "~data.fraction")
    assert request.typed_keys == ["seed", "callbacks.x._target_", "model.name", "data.fraction"]


def test_keys_are_validated_and_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = composed(tmp_path, "run=runs/one", "checkpoint=last", "split=val", name="evaluate").keys
    assert (keys.run, keys.checkpoint, keys.split) == (str(tmp_path / "runs/one"), "last", "val")
    with pytest.raises(SettingsError, match="split=vall: must be train, val, test or null"):
        _ = composed(tmp_path, "split=vall", name="evaluate").keys
    with pytest.raises(RequestError, match="The configuration cannot be resolved: Interpolation key 'nothing'"):
        _ = composed(tmp_path, "resume=${nothing}").keys


def test_allowed_packages(tmp_path):
    assert composed(tmp_path).allow == ()
    assert composed(tmp_path, "allow=[mine,yours]").allow == ("mine", "yours")


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        (["run=a"], None),
        ([], None),
        (["predictions=masks"], "predictions"),
        (["model.weights=none"], "weights"),  # typed, so it is what is to be evaluated
        (["model.weights=a.pt"], "weights"),
    ],
)
def test_what_is_evaluated(tmp_path, typed, kind):
    assert external_kind(composed(tmp_path, *typed, name="evaluate")) == kind


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["run=a", "crosswalk=b.csv"], "crosswalk= makes no sense with run="),
        (["run=a", "predictions=b"], "predictions= makes no sense with run="),
        (["predictions_label_space=voc21"], "predictions is missing"),
    ],
)
def test_keys_that_contradict_are_refused(tmp_path, typed, message):
    with pytest.raises(RequestError, match=message):
        external_kind(composed(tmp_path, *typed, name="evaluate"))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (False, 0, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, (False, 0, 1)),  # torchrun with a single process
        ({"WORLD_SIZE": "4"}, (False, 0, 4)),  # a rank is a launcher's own variable
        ({"RANK": "3", "WORLD_SIZE": "4"}, (True, 3, 4)),
    ],
)
def test_the_launchers_environment(monkeypatch, environment, expected):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (launched(), rank(), world_size()) == expected
