import io
import os
import pathlib
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lightning_modules.errors import WeightsError
from lightning_modules.weights.formats import needs_code
from lightning_modules.weights.safe_load import damage, read_checkpoint, read_state_dicts

STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.zeros(2)}


class Payload:
    """A pickle of this creates a file when it is read by a careless reader."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return pathlib.Path.touch, (self.canary,)


def read_one(path):
    """The only state dict of a file."""
    [state] = read_state_dicts(path).values()
    return state


def equal(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "content",
    [STATE, {"state_dict": STATE, "epoch": 2}, {"model": STATE, "optimizer": {}}, {"state_dict": {"model": STATE}}],
)
@pytest.mark.parametrize("modern", [True, False])
def test_reads_what_torch_saves(tmp_path, content, modern):
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=modern)
    assert equal(read_one(tmp_path / "w.pth"), STATE)


def test_reads_safetensors(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors")
    assert equal(read_one(tmp_path / "w.safetensors"), STATE)


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("nest", [lambda payload: payload, lambda payload: {"state_dict": STATE, "hyper": payload}])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, modern, nest):
    canary = tmp_path / "canary"
    torch.save(nest(Payload(canary)), tmp_path / "w.pt", _use_new_zipfile_serialization=modern)
    with pytest.raises(WeightsError, match="would have to run code to be read, so it was not"):
        read_one(tmp_path / "w.pt")
    assert not canary.exists()
    # The payload is a real one.
    torch.load(tmp_path / "w.pt", weights_only=False)
    assert canary.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint\n" * 50, b"\x80\x02", b"PK\x03\x04" + bytes(100), bytes(3000)]
)
def test_a_file_that_is_no_checkpoint(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} cannot be read as a checkpoint.*{len(content)} bytes"):
        read_one(tmp_path / name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["modern", "old", "safetensors"])
def test_a_truncated_file(tmp_path, share, kind):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    state = {"weight": torch.randn(100, 100)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "modern")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(WeightsError, match="damaged, cut short or something else"):
        read_one(path)


def test_damage_anywhere_is_an_error_in_words_or_harmless(tmp_path):
    chance, files = np.random.default_rng(0), []
    for modern in (True, False):
        content = io.BytesIO()
        torch.save({"state_dict": STATE}, content, _use_new_zipfile_serialization=modern)
        files.append(content.getvalue())
    path, refused = tmp_path / "w.pt", 0
    for _ in range(300):
        damaged = bytearray(files[chance.integers(2)])
        for _ in range(chance.integers(1, 6)):
            damaged[chance.integers(min(len(damaged), 500))] = chance.integers(256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_one(path)
            except WeightsError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("content", "is_it"),
    [
        ({}, "an empty dict"),
        ([1, 2], "a list of 2 items without names"),
        (torch.ones(2, 3), "a single tensor without a name (2×3)"),
        ({"epoch": 3, "model": {}}, "a dict with epoch (int), model (dict)"),
        (torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(), "an optimiser's state (state (dict), param_groups (list))"),
    ],
)  # fmt: skip
def test_a_checkpoint_without_weights(tmp_path, content, is_it):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt holds no weights: it is ") as refusal:
        read_state_dicts(tmp_path / "w.pt")
    assert is_it in str(refusal.value)
    assert "torch.save(network.state_dict()" in str(refusal.value)


def test_an_optimisers_state_beside_the_weights_is_none_of_them(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    torch.save({"net": STATE, "optim": optimizer.state_dict(), "scaler": {"scale": 2.0}}, tmp_path / "w.pt")
    assert list(read_state_dicts(tmp_path / "w.pt")) == ["net"]


def test_every_state_dict_is_found_by_its_key(tmp_path):
    other = {name: tensor + 1 for name, tensor in STATE.items()}
    torch.save({"net": STATE, "more": {"ema": other, "steps": 3}, "epoch": 1}, tmp_path / "w.pt")
    found = read_state_dicts(tmp_path / "w.pt")
    assert list(found) == ["net", "more.ema"]
    assert equal(found["more.ema"], other)


def test_a_lightning_checkpoint_has_one_whatever_its_callbacks_keep(tmp_path):
    content = {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": STATE,
        "current_state_dict": STATE,
        "callbacks": {"ema": {"w": torch.ones(1)}},
    }
    torch.save(content, tmp_path / "w.ckpt")
    assert list(read_state_dicts(tmp_path / "w.ckpt")) == ["state_dict"]


def test_safetensors_and_arrays_are_read_whatever_the_file_is_called(tmp_path):
    save_file(STATE, tmp_path / "w.bin")
    assert equal(read_one(tmp_path / "w.bin"), STATE)
    np.savez(tmp_path / "w.npz", **{name: tensor.numpy() for name, tensor in STATE.items()})
    assert equal(read_one(tmp_path / "w.npz"), STATE)
    np.savez(tmp_path / "w.npz", weight=np.array([{}], dtype=object))
    with pytest.raises(WeightsError, match="an npz archive with arrays that are no plain numbers"):
        read_state_dicts(tmp_path / "w.npz")


def test_a_dict_that_holds_itself_ends(tmp_path):
    content = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="holds no weights"):
        read_state_dicts(tmp_path / "w.pt")


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        read_one(tmp_path / "nothing.pt")
    with pytest.raises(
        WeightsError, match="is a folder; give auto, none, imagenet, coco_voc or the path of a checkpoint"
    ):
        read_one(tmp_path)
    torch.save(STATE, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=rf"is a folder; .* one of the files in it: {tmp_path / 'model.pth'}"):
        read_one(tmp_path)


READ = pathlib.Path("/proc/self/io")  # what the kernel counted


def bytes_read():
    return int(READ.read_text().split("rchar:")[1].split()[0])


@pytest.mark.skipif(not READ.exists(), reason="the kernel does not count what is read")
def test_tensors_that_stay_in_the_file_are_the_same_and_not_read_before_they_are_used(tmp_path):
    torch.save({"state_dict": STATE, "moments": torch.ones(1 << 20)}, tmp_path / "w.ckpt")
    before = bytes_read()
    found = read_checkpoint(tmp_path / "w.ckpt", "w", in_file=True)
    assert bytes_read() - before < 1 << 18  # of 4 MB
    assert equal(found["state_dict"], STATE)
    found["state_dict"]["layer.bias"] += 1  # not in the file
    assert equal(read_checkpoint(tmp_path / "w.ckpt", "w")["state_dict"], STATE)


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(99)])
def test_no_checkpoint_is_no_checkpoint_wherever_its_tensors_stay(tmp_path, content, in_file):
    (tmp_path / "w.ckpt").write_bytes(content)
    with pytest.raises(WeightsError, match="asked cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "w.ckpt", "asked", in_file=in_file)


def test_nothing_is_executed_where_tensors_stay_in_the_file(tmp_path):
    torch.save({"state_dict": STATE, "payload": Payload(tmp_path / "canary")}, tmp_path / "w.ckpt")
    with pytest.raises(WeightsError, match="would have to run code"):
        read_checkpoint(tmp_path / "w.ckpt", "w", in_file=True)
    assert not (tmp_path / "canary").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    torch.save(STATE, tmp_path / "w.pt")
    (tmp_path / "w.pt").chmod(0)
    with pytest.raises(WeightsError, match="permission denied"):
        read_one(tmp_path / "w.pt")


def compressed(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("name", ["weight.npy", "archive__data.pkl", "archive__data__0"])
def test_an_archive_that_would_expand_is_not_read(tmp_path, name, in_file):
    path = tmp_path / "w.ckpt"
    compressed(path, **{name: bytes(2**27)})  # 130 kB
    with pytest.raises(WeightsError, match=r"w is not read: its \d+ bytes would expand to 134217728"):
        read_checkpoint(path, "w", in_file=in_file)
    assert "would expand" in damage(path)


def test_weights_that_compress_well_are_read(tmp_path):
    np.savez_compressed(tmp_path / "w.npz", weight=np.zeros(10**6, np.float32))
    assert read_one(tmp_path / "w.npz")["weight"].shape == (10**6,)


def test_a_dict_under_many_keys_of_others_takes_no_time(tmp_path):
    content = {"weight": torch.ones(1)}
    for _ in range(4):
        content = {f"key{i}": content for i in range(300)}  # 300⁴ paths in a few kB
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="holds more than 10000 dicts within dicts"):
        read_state_dicts(tmp_path / "w.pt")


def test_a_pickle_of_many_operations_is_described_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_modules.weights.formats.MOST_OPERATIONS", 1000)
    (tmp_path / "w.pt").write_bytes(b"\x80\x02" + b"]0" * 10**6 + b".")
    tracemalloc.start()
    assert needs_code(tmp_path / "w.pt") is None
    assert tracemalloc.get_traced_memory()[1] < 10**7  # of 2 MB; each operation would take a hundred bytes
    tracemalloc.stop()


@pytest.mark.parametrize("length", [2**63 - 1, 2**64 - 1, 10**6])
def test_safetensors_with_a_lying_length(tmp_path, length):
    (tmp_path / "w.safetensors").write_bytes(length.to_bytes(8, "little") + b'{"a": 1}')
    with pytest.raises(WeightsError, match="cannot be read as a checkpoint"):
        read_one(tmp_path / "w.safetensors")
