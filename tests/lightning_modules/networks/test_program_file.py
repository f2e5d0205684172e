"""Programs of torch.export: what torch would execute while it reads them is refused; their own are read back."""

import contextlib
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_modules.errors import NetworkError
from lightning_modules.networks.program_file import read_program, write_program


class Small(nn.Module):
    """A convolution, and a size that is computed."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, images):
        rows = (images.shape[2] + 7) // 8 * 8
        padded = nn.functional.pad(images.float(), (0, 0, 0, rows - images.shape[2]))
        return nn.functional.avg_pool2d(self.layer(padded), 2)


@pytest.fixture(scope="module")
def program():
    torch.manual_seed(0)
    shapes = ({0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC},)
    return torch.export.export(Small().eval(), (torch.zeros(2, 3, 13, 8),), dynamic_shapes=shapes)


@pytest.fixture(scope="module")
def file(program, tmp_path_factory):
    path = tmp_path_factory.mktemp("programs") / "model.pt2"
    write_program(program, path)
    return path


def test_a_program_is_read_back_for_any_size(program, file):
    found = read_program(file).module()
    for images in (torch.randn(1, 3, 16, 8), torch.randn(3, 3, 21, 8)):
        assert torch.equal(found(images), program.module()(images))


def test_the_file_holds_no_pickle(file):
    with zipfile.ZipFile(file) as archive:
        pickled = [
            name for name in archive.namelist() if b"\x80\x02" in archive.read(name)[:4] or name.endswith(".pkl")
        ]
        samples = [archive.getinfo(name).file_size for name in archive.namelist() if "sample_inputs" in name]
    assert (pickled, samples) == ([], [0])


class Runs:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def changed(file, target, change):
    """A copy of a program with `change(name, content)` in place of the content of each record."""
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, change(name, archive.read(name)))
    return target


def in_graph(edit):
    def change(name, content):
        if not name.endswith("models/model.json"):
            return content
        graph = json.loads(content)
        edit(graph)
        return json.dumps(graph)

    return change


def first_expression(node):
    """The first mapping with an expression of a size."""
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and "expr_str" in node:
        return node
    return next((found for part in parts if (found := first_expression(part)) is not None), None)


def attacks(mark):
    """By name, how a file is changed so that reading it with torch runs code that makes the file `mark`."""
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"

    def pickled_samples(name, content):
        buffer = io.BytesIO()
        torch.save((Runs(mark),), buffer)
        return buffer.getvalue() if "sample_inputs" in name else content

    def pickled_weight(name, content):
        if name.endswith("weights_config.json"):
            config = json.loads(content)
            next(iter(config["config"].values())).update(use_pickle=True)
            return json.dumps(config)
        buffer = io.BytesIO()
        torch.save(Runs(mark), buffer)
        return buffer.getvalue() if name.endswith("weights/weight_0") else content

    def opaque_constant(name, content):
        if name.endswith("constants_config.json"):
            return json.dumps(
                {
                    "config": {
                        "x": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
                    }
                }
            )
        return content

    def expression(graph):
        first_expression(graph)["expr_str"] = f"({code} or 1)"

    def guard(graph):
        graph["guards_code"] = [f"({code} or True)"]

    def target(graph):
        graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.hub.load"

    return {
        "sample inputs": (pickled_samples, None),
        "weight": (pickled_weight, "weight_0 is pickled"),
        "constant": (opaque_constant, "opaque_obj_0 is pickled"),
        "expression": (in_graph(expression), "is no expression of sizes"),
        "guard": (in_graph(guard), "is no condition on sizes"),
        "target": (in_graph(target), "'torch.hub.load' is no operation on tensors or sizes"),
    }


@pytest.mark.parametrize("name", attacks(Path("mark")))
def test_nothing_in_a_file_is_executed(file, tmp_path, name):
    change, reason = attacks(tmp_path / "mark")[name]
    path = changed(file, tmp_path / "model.pt2", change)
    if reason is None:  # what is not needed is not read
        read_program(path)
    else:
        with pytest.raises(NetworkError, match=f"{path} would have to run code to be read, so it was not: .*{reason}"):
            read_program(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["sample inputs", "weight", "expression"])
def test_torch_itself_executes_them(file, tmp_path, name):
    """What the checks are for: a later torch that does not may need fewer of them."""
    path = changed(file, tmp_path / "model.pt2", attacks(tmp_path / "mark")[name][0])
    with contextlib.suppress(Exception):  # the code has run by then
        torch.export.load(path)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"not a zip archive at all", pickle.dumps([1])], ids=["empty", "cut", "text", "pickle"]
)
def test_a_file_that_is_no_program_is_named(tmp_path, content):
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match=f"{path} cannot be read as a program of torch.export"):
        read_program(path)
