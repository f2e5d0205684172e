"""The page is made of what was evaluated; where it cannot be, the error names it and how to leave it out."""

from types import SimpleNamespace

import pytest

from entry.errors import IncompleteError
from entry.evaluation import page
from run_folder import RunFolder

EVALUATION = SimpleNamespace(split="val", checkpoint={"epoch": 3})
DATA = SimpleNamespace(label_space=None)


def settings(*, images):
    report = SimpleNamespace(images=images, gallery_iou=0.25)
    return SimpleNamespace(report=report, model=SimpleNamespace(task="classification"))


@pytest.fixture
def written(monkeypatch):
    """The galleries that pages were written with."""
    found = []
    monkeypatch.setattr(page, "write_report", lambda target, folder, score, gallery: found.append(gallery))
    monkeypatch.setattr(page, "pictures", lambda data, evaluation, masks: {0: masks})
    monkeypatch.setattr(page, "training_batch", lambda data: [("picture", "name", "class")])
    return found


def write(tmp_path, masks, *, images=True, evaluation=EVALUATION):
    page.write_page(tmp_path, RunFolder(tmp_path / "run"), settings(images=images), DATA, evaluation, "f1_macro", masks)


def test_pictures_are_those_of_the_masks_and_of_the_training(written, tmp_path):
    write(tmp_path, lambda: {7: "mask"})
    assert (written[0].pictures, written[0].threshold) == ({0: {7: "mask"}}, 0.25)
    assert written[0].batch == [("picture", "name", "class")]


def test_an_external_model_has_no_training_images(written, tmp_path):
    write(tmp_path, dict, evaluation=SimpleNamespace(split="val", checkpoint={"epoch": None}))
    assert not written[0].batch


def test_without_pictures_nothing_is_predicted_again(written, tmp_path):
    write(tmp_path, lambda: pytest.fail("predicted"), images=False)
    assert (written[0].pictures, written[0].batch) == ({}, ())


def test_a_failure_is_named_with_what_leaves_it_out(written, tmp_path, capsys):
    def failing():
        raise RuntimeError("no such frame")

    with pytest.raises(
        IncompleteError,
        match=r"evaluation/val: the scores are complete, .*RuntimeError: no such frame.*report.html=false",
    ):
        write(tmp_path, failing)
    assert "no such frame" in capsys.readouterr().err
