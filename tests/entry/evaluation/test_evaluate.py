"""The folder of one evaluation: complete or as it was before, with a status of its own; and what is collected for it."""

import json
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_array

from callbacks.errors import RunStopped
from datamodules.image_folder import ImageFolderDataModule
from entry.config.resolve import resolved
from entry.errors import IncompleteError, exit_code
from entry.evaluation.evaluate import collect, replace_folder, write_evaluation
from metrics.counts import Counts, Predictions
from reports.figures.write import write_figures
from run_folder import RunFolder
from tests.callbacks.disks import no_files_above
from tests.entry.config.test_resolve import request


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, image_folder):
    where = tmp_path_factory.mktemp("cache")
    typed = (
        "data=image_folder",
        f"data.root={image_folder}",
        f"data.cache_dir={where}",
        "data.image_size=[16,16]",
        "evaluation.flip=true",
        "report.html=false",
    )
    settings = resolved(request(where, *typed))
    data = ImageFolderDataModule(settings.data)
    data.prepare_training()
    return settings, data


@pytest.fixture
def evaluate(prepared, tmp_path, monkeypatch):
    """Evaluate val with a function that counts; returns the run's folder."""
    settings, data = prepared
    monkeypatch.setattr("entry.evaluation.evaluate.write_figures", lambda *_: None)
    monkeypatch.setattr("entry.evaluation.evaluate.per_class_figure", lambda *_: None)

    def call(count, settings=settings):
        folder = RunFolder(tmp_path / "run")
        origin = {"file": "best.ckpt", "epoch": 1, "step": 2}
        write_evaluation(folder, settings, data, "val", count, origin=origin, crosswalk=None, show=lambda _: {})
        return folder.evaluation("val")

    call.folder = RunFolder(tmp_path / "run").evaluation("val")
    return call


@pytest.fixture
def always_blue(prepared):
    """Counts of val for a model that predicts the first class, blue, whatever it sees; one of three frames is."""
    _, data = prepared
    index = np.array(data.indices("val"))
    truth = np.array([data.label_space.classes.index(data.table.samples[i].target) for i in index])

    def count(folder):
        n, confusion = len(index), np.zeros((4, 4), np.int64)
        np.add.at(confusion[:, 0], truth, 1)
        cells = np.zeros((n, 16), np.int64)
        cells[np.arange(n), truth * 4] = 1
        predictions = Predictions(truth, np.zeros(n, np.int64), np.full(n, 0.5, np.float32))
        return Counts(confusion, index, csr_array(cells), np.full(n, 0.25), np.ones(n, np.int64), predictions)

    return count, truth


def test_an_evaluation_is_complete(evaluate, always_blue, prepared):
    count, truth = always_blue
    folder = evaluate(count)
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "status.json", "scores.json", "per_class.csv", "confusion.csv", "class_counts.csv", "image_sizes.csv", "slices.csv", "calibration.csv", "per_sample.npz",
    }  # fmt: skip
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["accuracy"] == pytest.approx((truth == 0).mean())
    assert scores["loss"] == 0.25
    assert (scores["n_seen"], scores["n_expected"]) == (3, 3)
    assert scores["checkpoint"] == {"file": "best.ckpt", "epoch": 1, "step": 2}
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("finished", 0)
    assert re.fullmatch("[0-9a-f]{40}", status["git_commit"])
    assert (folder / "config.yaml").read_text() == prepared[0].to_yaml()


@pytest.mark.parametrize("error", [ValueError("broken"), RunStopped(15), KeyboardInterrupt()])
def test_one_that_fails_leaves_the_earlier_one(evaluate, always_blue, error):
    count, _ = always_blue
    folder = evaluate(count)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def failing(target):
        (target / "half.txt").write_text("half")
        assert json.loads((target / "status.json").read_text())["state"] == "running"
        raise error

    with pytest.raises(type(error)):
        evaluate(failing)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["val"]


def test_a_page_that_cannot_be_written_leaves_the_scores(
    evaluate, always_blue, prepared, monkeypatch, capsys, tmp_path
):
    def failing(*_):
        raise ValueError("no ink")

    monkeypatch.setattr("entry.evaluation.page.write_report", failing)
    report = prepared[0].report.model_copy(update={"html": True})
    with pytest.raises(
        IncompleteError, match=r"evaluation/val: the scores are complete, .*ValueError: no ink.*report.html=false"
    ):
        evaluate(always_blue[0], prepared[0].model_copy(update={"report": report}))
    assert exit_code(IncompleteError()) == 1
    assert "no ink" in capsys.readouterr().err  # with its traceback
    assert (tmp_path / "run/evaluation/val/scores.json").exists()
    assert [path.name for path in (tmp_path / "run/evaluation").iterdir()] == ["val"]


def test_predictions_are_written_into_the_same_folder(evaluate, always_blue):
    count, _ = always_blue

    def counting(target):
        (target / "predictions").mkdir()
        return count(target)

    assert (evaluate(counting) / "predictions").is_dir()


def counts_of(index):
    """Each sample is blue, and so it is predicted."""
    n, confusion = len(index), np.zeros((4, 4), np.int64)
    confusion[0, 0] = n
    matrices = np.zeros((n, 16), np.int64)
    matrices[:, 0] = 1
    predictions = Predictions(np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n, np.float32))
    return Counts(confusion, np.array(index), csr_array(matrices), np.zeros(n), np.ones(n, np.int64), predictions)


def test_what_is_collected_names_its_samples_size_and_views(prepared, tmp_path, caplog):
    settings, data = prepared
    index = data.indices("test")[:3]
    origin = {"file": "best.ckpt", "epoch": 1, "step": 2}
    with caplog.at_level(logging.WARNING):
        found = collect(settings, RunFolder(tmp_path / "one"), origin, data, "test", counts_of(index))
    assert (found.task, found.split, found.run, found.checkpoint) == ("classification", "test", "one", origin)
    assert [*found.names] == [data.table.samples[i].name for i in index]
    assert found.n_expected == 8  # of 36 images
    assert "Only 3 of 8 samples of test were evaluated" in caplog.text
    assert tuple(found.resolution) == (16, 16)
    assert found.looks == {"flip": True, "scales": [1.0], "window": None, "stride": None}
    fitted, evaluated = found.features["mean_colour"]
    assert (len(fitted), len(evaluated)) == (len(data.indices("train")), 3)


def test_counts_in_other_classes_are_remapped(prepared, tmp_path):
    settings, data = prepared
    crosswalk = SimpleNamespace(mapping=(1, 0, 3))  # blue counts as green, the third class as void
    found = collect(settings, RunFolder(tmp_path), {}, data, "test", counts_of(data.indices("test")), crosswalk)
    assert found.counts.confusion.tolist() == [[0, 8, 0, 0], [0] * 4, [0] * 4, [0] * 4]
    assert found.counts.before.confusion[0, 0] == 8


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "evaluation" / "val"
    replace_folder(target, lambda path: (path / "old.txt").write_text("old") and None)
    replace_folder(target, lambda path: (path / "new.txt").write_text("new") and None)
    assert [p.name for p in target.iterdir()] == ["new.txt"]

    def fail(path: Path) -> None:
        (path / "half.txt").touch()
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        replace_folder(target, fail)
    assert [p.name for p in target.iterdir()] == ["new.txt"]
    assert [p.name for p in target.parent.iterdir()] == ["val"]


def test_figures_that_the_disk_refuses_cost_neither_scores_nor_tables(evaluate, always_blue, monkeypatch, capsys):
    count, _ = always_blue
    monkeypatch.setattr("entry.evaluation.evaluate.write_figures", write_figures)
    with no_files_above(15_000), pytest.raises(IncompleteError) as error:  # the tables have less, a figure has more
        evaluate(count)
    folder = evaluate.folder
    assert str(error.value).startswith(
        f"{folder}: the scores are complete, but its figures could not be written (OSError: "
    )
    assert exit_code(error.value) == 1
    assert json.loads((folder / "scores.json").read_text())["n_seen"] == 3
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    assert not list(folder.glob("figures/*"))
    assert "File too large" in capsys.readouterr().err


def test_tables_that_the_disk_refuses_leave_the_evaluation_before(evaluate, always_blue):
    count, _ = always_blue
    folder = evaluate(count)
    before = {path: path.read_bytes() for path in folder.rglob("*")}
    with no_files_above(600), pytest.raises(OSError, match="File too large"):
        evaluate(count)
    assert {path: path.read_bytes() for path in folder.rglob("*")} == before
    assert [path.name for path in folder.parent.iterdir()] == ["val"]
