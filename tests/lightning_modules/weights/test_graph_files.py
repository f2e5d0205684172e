"""Weights by name from files of graphs: those of the network itself, bit for bit."""

import pytest
import torch
from torch import nn

from lightning_modules.errors import WeightsError
from lightning_modules.weights.safe_load import read_state_dicts


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images):
        return self.norm(self.layer(images))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    found = Net().eval()
    found.norm.running_mean.normal_()
    return found


def test_a_program_of_torch_export_has_each_weight(network, tmp_path):
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 8, 8),)), tmp_path / "model.pt2")
    (state,) = read_state_dicts(tmp_path / "model.pt2").values()
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_an_onnx_file_has_its_initialisers(network, tmp_path):
    onnx = pytest.importorskip("onnx")
    expected = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    tensors = [onnx.numpy_helper.from_array(value.contiguous().numpy(), name) for name, value in expected.items()]
    outside = onnx.TensorProto(name="elsewhere", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    graph = onnx.helper.make_graph([], "weights", [], [], [*tensors, outside])
    (tmp_path / "model.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    (state,) = read_state_dicts(tmp_path / "model.onnx").values()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("name", "content"), [("model.onnx", b"\x08\x07\x12"), ("model.onnx", b""), ("model.pt2", b"PK\x03\x04")]
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"model.weights={path} "):
        read_state_dicts(path)
