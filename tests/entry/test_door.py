"""Doors as commands: what they print, with which code they exit, and what they leave behind."""

import sys

import pytest

from callbacks.errors import RunStopped
from entry import door as doors
from entry.errors import IncompleteError, RequestError
from lightning_modules.errors import TrainingError


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run a task behind a door: (exit code, stdout, stderr)."""

    def run(task, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        with pytest.raises(SystemExit) as end:
            doors.door("train")(task)()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


def raising(error):
    def task(request):
        raise error

    return task


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError("not like this"), 2),
        (TrainingError("not like this"), 1),
        (IncompleteError("not like this"), 1),
        (KeyboardInterrupt(), 130),
        (RunStopped(15), 143),
        (ZeroDivisionError("not like this"), 1),
    ],
)
def test_exit_codes(command, tmp_path, error, code):
    got, _, err = command(raising(error))
    assert got == code
    assert ("Traceback" in err) == isinstance(error, ZeroDivisionError)  # only bugs keep theirs
    assert list(tmp_path.iterdir()) == []  # no folder for a request that was refused


def test_done(command):
    assert command(lambda request: print(request.overrides), "seed=3") == (0, "('seed=3',)\n", "")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("modle=resnet18", "There is no key 'modle'; did you mean model?"),
        ("optimizer.lrr=1", "There is no key 'optimizer.lrr'; did you mean optimizer.lr"),
        ("model=resnet19", "model=resnet19: there is no such option. Choose one of: custom_cnn, resnet18"),
        ("data.root=/my data/a=b", "need quotes of their own"),
        ("--experimental-rerun=x.pickle", "--experimental-rerun is not allowed"),
        ("--nonsense", "unrecognized arguments: --nonsense"),
    ],
)
def test_hydras_complaints_are_ours(command, tmp_path, typed, says):
    code, out, err = command(raising(AssertionError("must not be reached")), typed)
    assert (code, out) == (2, "")
    assert says in err
    assert "HYDRA_FULL_ERROR" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_typed_folder_is_used_and_what_was_there_stays(command, tmp_path):
    (tmp_path / "mine").mkdir()
    code, _, _ = command(raising(RequestError("no")), f"hydra.run.dir={tmp_path}/mine/run")
    assert code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    seen = []
    command(seen.append, f"hydra.run.dir={tmp_path}/mine/run")
    assert (str(seen[0].folder), seen[0].folder_was_typed) == (f"{tmp_path}/mine/run", True)
