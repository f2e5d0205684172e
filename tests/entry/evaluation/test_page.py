"""Writing the page of an evaluation: which pictures are made for it, and what becomes of a failure."""

from types import SimpleNamespace

import pytest

from entry.errors import IncompleteError
from entry.evaluation import page
from run_folder import RunFolder
from settings.evaluation import ReportSettings


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a page with what makes pictures and pages replaced; returns the calls."""

    def call(report, epoch=None, failure=None):
        calls = []

        def recorded(name, answer):
            return lambda *arguments: calls.append((name, arguments)) or answer

        def write_report(*arguments):
            calls.append(("write_report", arguments))
            if failure is not None:
                raise failure

        monkeypatch.setattr(page, "pictures", recorded("pictures", {3: []}))
        monkeypatch.setattr(page, "training_batch", recorded("training_batch", ["first"]))
        monkeypatch.setattr(page, "write_report", write_report)
        settings = SimpleNamespace(report=report, model=SimpleNamespace(task="classification"))
        evaluation = SimpleNamespace(checkpoint={"epoch": epoch}, split="val")
        data = SimpleNamespace()
        folder = RunFolder(tmp_path / "run")
        page.write_page(tmp_path, folder, settings, data, evaluation, "accuracy", recorded("masks", {7: "mask"}))
        return calls

    return call


def test_a_page_without_pictures_makes_none(write):
    ((name, arguments),) = write(ReportSettings(images=False), epoch=1)
    assert name == "write_report"
    assert arguments[-1].pictures == {}
    assert arguments[-1].batch == ()


def test_the_batch_of_a_training_is_shown_where_there_was_one(write):
    trained, external = write(ReportSettings(), epoch=1), write(ReportSettings())
    assert sorted(name for name, _ in trained) == ["masks", "pictures", "training_batch", "write_report"]
    assert sorted(name for name, _ in external) == ["masks", "pictures", "write_report"]
    assert (trained[-1][1][-1].batch, external[-1][1][-1].batch) == (["first"], ())


def test_a_failure_names_the_evaluation_that_is_complete_and_how_to_do_without(write, tmp_path):
    with pytest.raises(IncompleteError, match=r"run/evaluation/val: the scores are complete, .*OSError: no space"):
        write(ReportSettings(), failure=OSError("no space"))
