"""What a command line requests: its keys, what is evaluated, and this process's number."""

import os
import tempfile

import pytest

from entry.errors import RequestError
from entry.request import (
    LONGEST_TEMPORARY,
    choose_temporary_folder,
    environment_error,
    launched,
    rank,
    world_size,
)
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


def test_a_working_directory_that_was_deleted_is_named(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert environment_error() == "The working directory has been deleted. Change to one that exists: cd FOLDER"


def test_a_temporary_folder_whose_sockets_would_have_too_long_a_path_is_replaced(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    note = choose_temporary_folder()
    assert note.startswith(f"{long} is too long for the sockets")
    assert os.environ["TMPDIR"] == tempfile.gettempdir() == "/tmp"
    # The limit of unix(7): 108 bytes with the final zero; multiprocessing's names are pymp-8/listener-8 letters.
    assert len("/tmp/pymp-12345678/listener-12345678") < 108
    assert LONGEST_TEMPORARY + len("/pymp-12345678/listener-12345678") < 108
    assert choose_temporary_folder() is None


def test_without_any_temporary_folder_the_variable_is_named(monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(RequestError, match="Type one: TMPDIR=FOLDER"):
        choose_temporary_folder()
