"""Checkpoints of torch, old and new, Lightning's, safetensors and numpy's archives."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from entry.checkpoint import find_checkpoint
from lightning_modules.weights.safe_load import damage, read_state_dicts
from run_folder import RunFolder
from tests.fuzz.mutations import changed_bytes, changed_json, check, fuzzed, profile

STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.zeros(2)}
CHECKPOINT = {
    "state_dict": STATE,
    "epoch": 1,
    "global_step": 3,
    "hyper_parameters": {"label_space": "x", "classes": ["a", "b"]},
    "pytorch-lightning_version": "2.6.6",
    "callbacks": {"a": {"b": torch.ones(2)}},
}
HEADER = {
    "__metadata__": {"a": "b"},
    "x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "y": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]},
}
ODD = [None, 1, True, "x", b"x", [], {}, [1], {"a": 1}, {1: 2}, 10**400, float("nan"), ("a",), ["a", "a"], [["a"]], torch.ones(2),
       {"label_space": None, "classes": None}, {"label_space": "x", "classes": ["a", "a"]}, {"label_space": "x", "classes": [1]}]  # fmt: skip


def saved(content: object, *, modern: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=modern)
    return file.getvalue()


def arrays(function) -> bytes:
    file = io.BytesIO()
    function(file, **{name: tensor.numpy() for name, tensor in STATE.items()})
    return file.getvalue()


ORIGINALS = [
    *(saved(content, modern=modern) for content in (STATE, CHECKPOINT) for modern in (True, False)),
    save(STATE),
    arrays(np.savez),
    arrays(np.savez_compressed),
]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.claim("", [])
    return folder


def readers(run: RunFolder):
    file = run.checkpoints / "best.ckpt"
    return lambda: read_state_dicts(file), lambda: damage(file), lambda: find_checkpoint(run, "best")


def test_the_valid_files_are_read(run: RunFolder) -> None:
    file = run.checkpoints / "best.ckpt"
    for content in ORIGINALS:
        assert check(file, content, lambda: read_state_dicts(file)) == 0
    assert check(file, saved(CHECKPOINT), *readers(run)) == 0


@fuzzed(80, 1500)
def test_changed_checkpoints(run: RunFolder, cases: int) -> None:
    refused = 0

    @profile(cases)
    @given(changed_bytes(ORIGINALS))
    def test(content: bytes) -> None:
        nonlocal refused
        refused += check(run.checkpoints / "best.ckpt", content, *readers(run))

    test()
    assert refused > cases / 2


@fuzzed(40, 500)
def test_checkpoints_with_other_values(run: RunFolder, cases: int) -> None:
    refused = 0

    @profile(cases)
    @given(st.dictionaries(st.sampled_from([*CHECKPOINT]), st.sampled_from(ODD), min_size=1, max_size=3), st.booleans())
    def test(values: dict[str, object], without: bool) -> None:
        nonlocal refused
        content = CHECKPOINT | values
        if without:
            del content[next(iter(values))]
        refused += check(run.checkpoints / "best.ckpt", saved(content), *readers(run))

    test()
    assert refused > cases / 4


@fuzzed(40, 500)
def test_lying_headers_of_safetensors(tmp_path: Path, cases: int) -> None:
    file, refused = tmp_path / "w.safetensors", 0

    @profile(cases)
    @given(changed_json(HEADER), st.sampled_from([0, 0, 0, 1, 100, 2**31, 2**63 - 1]))
    def test(header: bytes, more: int) -> None:
        nonlocal refused
        content = struct.pack("<Q", min(len(header) + more, 2**64 - 1)) + header + bytes(32)
        refused += check(file, content, lambda: read_state_dicts(file))

    assert check(file, struct.pack("<Q", len(json.dumps(HEADER))) + json.dumps(HEADER).encode() + bytes(32), lambda: read_state_dicts(file)) == 0  # fmt: skip
    test()
    assert refused > cases / 2
