"""scores.json and per_sample.npz as they come back, and changed so that their parts no longer belong together."""

import json
import zipfile

import numpy as np
import pytest

from reports.evaluation_files import read_classes, read_samples, read_scores
from run_folder import RunFolderError
from tests.compared import CLASSES, write_masks, write_run


@pytest.fixture
def images(tmp_path):
    return write_run(tmp_path / "a", 0.9) / "evaluation/test"


@pytest.fixture
def masks(tmp_path):
    return write_masks(tmp_path / "m", 0.9) / "evaluation/val"


def changed(folder, **columns):
    """Replace columns of per_sample.npz; None takes one out."""
    with np.load(folder / "per_sample.npz") as file:
        content = {name: columns.get(name, file[name]) for name in file}
    np.savez(folder / "per_sample.npz", **{name: each for name, each in content.items() if each is not None})
    return folder / "per_sample.npz"


def test_what_was_written_is_read(images, masks):
    for folder in (images, masks):
        assert read_classes(folder / "scores.json") == list(CLASSES)
        assert read_scores(folder / "scores.json") == json.loads((folder / "scores.json").read_text())
        with np.load(folder / "per_sample.npz") as file:
            found = read_samples(folder / "per_sample.npz", 3)
            assert found.keys() == dict(file).keys()
            assert all(np.array_equal(found[name], file[name], equal_nan=name == "loss") for name in file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "detection"}, "task"), ({"classes": [{"name": 1}]}, r"classes\.0\.name"), ({"classes": None}, "classes"), ({"miou": "0.5"}, "miou"),
        ({"accuracy": float("nan")}, "accuracy"), ({"intervals": {"miou": 3}}, r"intervals\.miou"), ({"policy": []}, "policy"), ({"crossing": 1}, "crossing"),
        ({"intervals": {"miou": [0.1, 0.5, 0.9]}}, r"intervals\.miou"), ({"intervals": {"miou": [None, 1.0]}}, r"intervals\.miou\.0"),
        ({"policy": {"resolution": [10**30, 8]}}, r"policy\.resolution\.0"), ({"policy": {"resolution": [8]}}, r"policy\.resolution"),
        ({"checkpoint": {"file": None, "epoch": 1, "step": 2}}, "checkpoint"), ({"baselines": {"majority": 1.5}}, r"baselines\.majority"),
    ],
)  # fmt: skip
def test_scores_of_other_types_are_named(images, change, words):
    file = images / "scores.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(RunFolderError, match=rf"scores\.json is damaged: {words}"):
        read_scores(file)


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, "\udcff"])
def test_what_is_no_json_of_scores_is_named(images, text):
    (images / "scores.json").write_bytes(text.encode(errors="surrogateescape"))
    for read in (read_scores, read_classes):
        with pytest.raises(RunFolderError, match=r"scores\.json is damaged"):
            read(images / "scores.json")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("sample", lambda values: None, "'sample'"),
        ("loss", lambda values: None, "it has no loss"),
        ("target", lambda values: None, "it has no target"),
        ("group", lambda values: values[:-1], "group has the shape"),
        ("loss", lambda values: values.astype("U"), "loss has the shape"),
        ("prediction", lambda values: values + 1, "prediction is not always one of 3 classes"),
        ("target", lambda values: values - 1, "target is not always one of 3 classes"),
        ("cell", lambda values: values + 16, "cell and count are not those of 3 classes"),
        ("cell", lambda values: -values - 1, "cell and count are not those of 3 classes"),
        ("cell", lambda values: values.reshape(-1, 1), "are not lists of whole numbers"),
        ("count", lambda values: -values, "cell and count are not those of 3 classes"),
        ("count", lambda values: values[:-1], "cell and count are not those of 3 classes"),
        ("count", lambda values: values / 2, "are not lists of whole numbers"),
        ("indptr", lambda values: values[::-1], "indptr does not divide the cells among 120 samples"),
        ("indptr", lambda values: values[:-1], "indptr does not divide the cells among 120 samples"),
        ("indptr", lambda values: values + 1, "indptr does not divide the cells among 120 samples"),
    ],
)
def test_columns_that_do_not_belong_together_are_named(images, name, change, words):
    with np.load(images / "per_sample.npz") as file:
        column = change(file[name])
    with pytest.raises(RunFolderError, match=rf"per_sample\.npz is damaged: .*{words}.*Evaluate the run again"):
        read_samples(changed(images, **{name: column}), 3)


def test_an_archive_is_bounded_by_what_it_says_of_itself(images, monkeypatch):
    file = images / "per_sample.npz"
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("other.npy", bytes(10**7))
    monkeypatch.setattr("numpy.load", lambda *_, **__: pytest.fail("the arrays were read"))
    monkeypatch.setattr("reports.evaluation_files.EXPANDED", 10**7)
    with pytest.raises(RunFolderError, match="its arrays have more than 10000000 bytes"):
        read_samples(file, 3)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04" + bytes(100), b"\x93NUMPY"])
def test_what_is_no_archive_is_named(images, content):
    (images / "per_sample.npz").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"per_sample\.npz is damaged"):
        read_samples(images / "per_sample.npz", 3)


def test_objects_are_not_unpickled(images):
    file = changed(images, sample=np.array([{}] * 120, dtype=object))
    with pytest.raises(RunFolderError, match=r"per_sample\.npz is damaged: Object arrays cannot be loaded"):
        read_samples(file, 3)
