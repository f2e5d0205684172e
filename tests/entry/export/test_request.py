"""What export.py refuses, before torch is imported."""

import json

import pytest

from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.export import request as exports
from entry.export.request import requested, target_folder
from entry.request import Request
from run_folder import RunFolder
from tests.entry.config.test_resolve import request as composed
from tests.entry.test_exported import CONTENT
from tests.entry.test_model import SHARED


@pytest.fixture
def run(tmp_path):
    """A run with a checkpoint that nobody reads."""
    settings = resolved(composed(tmp_path, *SHARED, "data=image_folder", "data.root=."))
    folder = RunFolder(tmp_path / "run")
    folder.claim(settings.to_yaml(), [])
    (folder.checkpoints / "best.ckpt").write_bytes(b"")
    return folder.path


def asked(run, *typed):
    found = composed(run.parent, f"run={run}", *typed, name="export")
    return Request(found.config, (f"run={run}", *typed), run.parent / "out", folder_was_typed=False)


def test_a_run_its_settings_and_how(run, capsys):
    folder, settings, keys = requested(
        asked(run, "format=onnx", "input=float32", "data.eval_size=[24,32]", "optimizer.lr=0.1")
    )
    assert (folder.path, settings.data.eval_size, keys.format, keys.input) == (run, (24, 32), "onnx", "float32")
    assert capsys.readouterr().out == "note: without effect on an export: optimizer.lr\n"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("input=float32",), "input= is for graphs, and format=safetensors holds weights"),
        (("format=onnx", "output=ids"), "output=ids is for segmentation"),
        (("model=resnet18",), "the run has its model"),
        (("checkpoint=last",), "there is no .*last.ckpt"),
    ],
)
def test_what_makes_no_sense_is_refused(run, typed, message):
    with pytest.raises(ValueError, match=message):
        requested(asked(run, *typed))


def test_a_package_that_is_missing_is_named_with_what_to_type(run, monkeypatch):
    monkeypatch.setattr(exports, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(RequestError, match=r"format=onnx needs onnxscript. Type: pip install '\.\[export\]'"):
        requested(asked(run, "format=onnx"))
    requested(asked(run, "format=torch_export"))


def test_an_export_is_not_exported_again(run):
    (run / "manifest.json").write_text(json.dumps({**CONTENT, "sha256": "0" * 64}))
    (run / "model.onnx").write_bytes(b"")
    with pytest.raises(RequestError, match=r"is an export already. Type the run that it was made of"):
        requested(asked(run))


def test_a_folder_that_holds_something_is_refused(run, tmp_path):
    full = Request(asked(run).config, (), run, folder_was_typed=True)
    with pytest.raises(RequestError, match="exists and is not empty"):
        target_folder(full)
    assert target_folder(Request(asked(run).config, (), tmp_path / "new", folder_was_typed=True)) == tmp_path / "new"
