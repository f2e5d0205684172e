"""One rank in this process: what it leaves in the control folder, from which the command reads how it ended."""

import contextlib
import json
import os

import pytest

from callbacks.errors import RunStopped
from entry import job as jobs
from entry.distributed import assembly, group, peers, rendezvous, worker
from entry.errors import RankError
from entry.job import Job
from lightning_modules.errors import TrainingError
from run_folder import RunFolder
from tests.entry.config.test_resolve import request, resolved


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Do a job as rank 0 of 1, with a body in place of a training: (return value, the end that was written)."""
    monkeypatch.setenv("RANK", "0")
    folder = RunFolder(tmp_path / "run")
    folder.claim(resolved(request(tmp_path, "trainer=cpu")).to_yaml(), [])
    control = tmp_path / "control"
    control.mkdir()

    def call(body, path=folder.path):
        class Together:
            def __init__(self, *_):
                pass

            __enter__ = __exit__ = lambda *_: None

        monkeypatch.setattr(rendezvous, "meet", lambda: None)
        monkeypatch.setattr(group, "together", Together)
        monkeypatch.setattr(peers.Peers, "watching", lambda _: contextlib.nullcontext())
        monkeypatch.setattr(assembly, "assembled", lambda _: None)
        monkeypatch.setattr(jobs, "carry_out", lambda *_: body())
        code = worker.main(Job("train", str(path)).to_json(), control)
        assert (control / "0.pid").read_text() == str(os.getpid())
        assert sorted(path.name for path in control.iterdir()) == ["0.end", "0.pid"]
        return code, json.loads((control / "0.end").read_text())

    return call


def raises(error):
    def body():
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "returned", "kind", "code"),
    [
        (TrainingError("the loss was nan"), 1, "TrainingError", 1),
        (RankError("rank 1 is missing"), 1, "RankError", 1),
        (RunStopped(15), 0, "RunStopped", 143),  # requested: no failure for the launcher
        (ZeroDivisionError("a bug"), 1, "ZeroDivisionError", 1),
    ],
)
def test_an_error_is_written_with_its_kind_message_and_code(work, capsys, error, returned, kind, code):
    got, end = work(raises(error))
    assert (got, end["kind"], end["message"], end["code"]) == (returned, kind, str(error), code)
    assert ("Traceback" in capsys.readouterr().err) == (kind == "ZeroDivisionError")


def test_the_end_of_a_job_that_is_done(work):
    code, end = work(lambda: None)
    assert (code, end["kind"], end["message"], end["code"]) == (0, None, None, 0)


def test_a_folder_that_is_no_run_is_refused(work, tmp_path):
    code, end = work(lambda: None, tmp_path / "nowhere")
    assert (code, end["kind"], end["code"]) == (1, "RunFolderError", 2)
    assert "there is no such folder" in end["message"]
