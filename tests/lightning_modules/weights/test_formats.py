"""Files that are no checkpoints: what they are is named, and nothing in them is run."""

import argparse
import gzip
import pickle
import shlex
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.errors import WeightsError
from lightning_modules.weights.formats import describe, needs_code
from lightning_modules.weights.safe_load import read_checkpoint, read_state_dicts

STATE = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}


@pytest.mark.parametrize(
    ("content", "is_it", "advice"),
    [
        (b"", "empty", "download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a git-LFS pointer", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "an HTML page and no checkpoint", "Download the file itself"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an HTML page", "Download the file itself"),
        (b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}', "a text that begins with", "Give the file with the weights"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", "Convert it"),
        (b"\x93NUMPY\x01\x00" + bytes(100), "a single numpy array", "numpy.savez"),
        (gzip.compress(b"weights", mtime=0), "compressed (gzip)", "gunzip w.pt"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(100), "an ONNX model", "exported from"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(100), "a TensorFlow Lite model", "Convert it"),
    ],
)  # fmt: skip
def test_a_file_of_another_format_is_named(tmp_path, content, is_it, advice):
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as refusal:
        read_state_dicts(path)
    for part in (
        f"model.weights={path} cannot be read as a checkpoint: it is ",
        is_it,
        f"({len(content)} bytes)",
        advice,
    ):
        assert part in str(refusal.value)


def test_archives_are_named_with_what_is_in_them(tmp_path):
    torch.save(STATE, tmp_path / "inner.pth")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.write(tmp_path / "inner.pth", "release/inner.pth")
    with tarfile.open(tmp_path / "w.tar", "w") as archive:
        archive.add(tmp_path / "inner.pth", "release/inner.pth")
    for kind, command in (("zip", "unzip w.zip"), ("tar", "tar xf w.tar")):
        with pytest.raises(WeightsError, match=rf"a {kind} archive of release/inner\.pth .*{command}"):
            read_state_dicts(tmp_path / f"w.{kind}")


def test_of_a_cut_file_its_bytes_tell_nothing(tmp_path):
    torch.save(STATE, tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes((tmp_path / "w.pt").read_bytes()[:300])
    assert describe(tmp_path / "w.pt") == ("", "")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x)


def advised(refusal, folder):
    """Run the command that a message ends with, as its reader would who trusts the file; return what it has saved."""
    _, found, command = str(refusal.value).partition("python -c ")
    assert found, refusal.value
    subprocess.run([sys.executable, "-c", *shlex.split(command)], cwd=folder, check=True, timeout=120)
    [saved] = folder.glob("*_weights.pt")
    return torch.load(saved, weights_only=True)


PICKLED = {
    "a whole model": (lambda: nn.Sequential(nn.Linear(2, 2)), "is a whole pickled model (torch.nn.modules.container.Sequential"),
    "a model under a key": (lambda: {"model": nn.Linear(2, 2), "epoch": 3}, "holds a pickled model (torch.nn.modules.linear.Linear"),
    "hyper-parameters": (lambda: {"state_dict": STATE, "hyper_parameters": argparse.Namespace(lr=1)}, "holds more than tensors (argparse.Namespace)"),
    "numpy's numbers": (lambda: {"model_state": STATE, "best": np.float64(0.5)}, "holds more than tensors (numpy._core.multiarray.scalar"),
}  # fmt: skip


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("case", PICKLED)
def test_what_needs_code_is_named_with_the_command_that_saves_its_weights(tmp_path, case, modern):
    make, is_it = PICKLED[case]
    torch.save(make(), tmp_path / "w.pt", _use_new_zipfile_serialization=modern)
    with pytest.raises(WeightsError, match="would have to run code to be read, so it was not") as refusal:
        read_state_dicts(tmp_path / "w.pt")
    assert (is_it.replace("is a whole", "holds a") if not modern else is_it) in str(refusal.value)
    assert "where you trust it" in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize("case", PICKLED)
def test_that_command_works(tmp_path, case):
    torch.save(PICKLED[case][0](), tmp_path / "w.pt")
    with pytest.raises(WeightsError) as refusal:
        read_state_dicts(tmp_path / "w.pt")
    assert {name.removeprefix("0.") for name in advised(refusal, tmp_path)} == {"weight", "bias"}


@pytest.mark.slow
def test_torchscript_and_a_plain_pickle_have_commands_of_their_own(tmp_path):
    torch.jit.trace(Small(), torch.zeros(1, 2)).save(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="it is a TorchScript archive") as refusal:
        read_state_dicts(tmp_path / "w.pt")
    assert {*advised(refusal, tmp_path)} == {"layer.weight", "layer.bias"}
    (tmp_path / "w_weights.pt").unlink()
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"model": {"weight": np.ones((2, 2))}}))
    with pytest.raises(WeightsError, match=r"is a plain pickle, not written by torch\.save") as refusal:
        read_state_dicts(tmp_path / "w.pkl")
    assert {*advised(refusal, tmp_path)} == {"weight"}


def test_tensors_alone_need_no_code(tmp_path):
    for modern in (True, False):
        torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "w.pt", _use_new_zipfile_serialization=modern)
        assert needs_code(tmp_path / "w.pt") is None


def test_a_checkpoint_of_a_run_is_named_by_the_key_that_was_typed(tmp_path):
    (tmp_path / "w.ckpt").write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="checkpoint=mine cannot be read as a checkpoint: it is an HTML page"):
        read_checkpoint(tmp_path / "w.ckpt", "checkpoint=mine", in_file=True)
