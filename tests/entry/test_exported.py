"""The folder of an export: its manifest, its one file, and what is refused."""

import hashlib
import json

import pytest

from entry.errors import RequestError
from entry.exported import check_whole, read_manifest, weights_file
from run_folder import RunFolder, RunFolderError

CONTENT = {"version": 1, "format": "onnx", "label_space": "x", "classes": ["a", "b"], "output": "ids", "something": "later",
           "input": {"dtype": "uint8", "size": [4, 6], "shape": "fixed", "range": [0, 255]},
           "checkpoint": {"file": "best.ckpt", "epoch": 3, "step": 40}}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"content")
    written = {**CONTENT, "sha256": hashlib.sha256(b"content").hexdigest()}
    (tmp_path / "manifest.json").write_text(json.dumps(written))
    return RunFolder(tmp_path)


def test_an_export_has_one_file(folder):
    path = folder.path / "model.onnx"
    assert folder.is_export
    assert weights_file(folder, "best") == weights_file(folder, str(path)) == path
    manifest = read_manifest(folder)
    assert (manifest.classes, manifest.input.size, manifest.checkpoint.step) == (["a", "b"], (4, 6), 40)
    check_whole(path, manifest)
    with pytest.raises(RequestError, match=r"checkpoint=last: .* is an export, which has one set of weights"):
        weights_file(folder, "last")
    path.write_bytes(b"other")
    with pytest.raises(RequestError, match="is not the file that was exported"):
        check_whole(path, manifest)
    path.unlink()
    with pytest.raises(RequestError, match=r"model\.onnx is missing"):
        weights_file(folder, "best")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "../../etc/passwd"},
        {"classes": []},
        {"sha256": "short"},
        {"input": None},
        {"checkpoint": {"file": 3}},
    ],
    ids=str,
)
def test_a_manifest_that_was_changed_is_named(folder, change):
    path = folder.path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RequestError, match=r"manifest\.json is damaged"):
        weights_file(folder, "best")


@pytest.mark.parametrize("text", ["", "[1, 2]", "[" * 100_000, '{"format": 1'], ids=["empty", "list", "deep", "cut"])
def test_a_manifest_that_is_none_is_named(folder, text):
    (folder.path / "manifest.json").write_text(text)
    with pytest.raises((RequestError, RunFolderError), match=r"manifest\.json is damaged"):
        read_manifest(folder)


def test_a_run_is_no_export(tmp_path):
    assert not RunFolder(tmp_path).is_export
    with pytest.raises(RunFolderError, match="checkpoint=best: there is no"):
        weights_file(RunFolder(tmp_path), "best")
