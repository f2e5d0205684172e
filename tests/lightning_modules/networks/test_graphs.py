"""Networks that are a file: their axes, types and outputs, from small ONNX files written by onnx itself."""

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.errors import NetworkError
from lightning_modules.networks.graphs import OnnxGraph, ProgramGraph
from lightning_modules.networks.program_file import write_program

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64


def write(path, nodes, given, predicted, facts=None):
    """An ONNX file from nodes, with inputs and outputs as (name, type, shape)."""
    values = [[helper.make_tensor_value_info(*each) for each in some] for some in ([given], [predicted])]
    model = helper.make_model(helper.make_graph(nodes, "small", *values), opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    helper.set_model_props(model, facts or {})
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))
    return str(path)


def test_the_channels_are_the_logits(tmp_path):
    node = helper.make_node("Mul", ["x", "x"], ["y"])
    file = write(tmp_path / "m.onnx", [node], ("x", FLOAT, ["n", 3, "h", "w"]), ("y", FLOAT, ["n", 3, "h", "w"]))
    graph, images = OnnxGraph(3, file), torch.randn(2, 3, 5, 7)
    assert torch.equal(graph(images), images * images)
    assert not graph.raw
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(graph(images), images * images)
    with pytest.raises(NetworkError, match="predicts 2×3×5×7 logits, and the label space has 4 classes"):
        OnnxGraph(4, file)(images)


def test_images_with_their_channels_last_in_whole_numbers_one_by_one(tmp_path):
    node = helper.make_node("Cast", ["x"], ["y"], to=FLOAT)
    file = write(tmp_path / "m.onnx", [node], ("x", UINT8, [1, 4, 6, 3]), ("y", FLOAT, [1, 4, 6, 3]))
    graph = OnnxGraph(3, file)
    images = torch.randint(0, 256, (3, 3, 4, 6)).float()
    assert graph.raw
    assert torch.equal(graph(images), images)
    with pytest.raises(
        NetworkError, match=r"takes images of 4×6 pixels only, and these have 4×7. Type 'data.eval_size=\[4,6\]'"
    ):
        graph(torch.zeros(1, 3, 4, 7))


def test_the_last_images_of_a_batch_that_is_fixed_are_filled_up(tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    file = write(tmp_path / "m.onnx", [node], ("x", FLOAT, [2, 3, "h", "w"]), ("y", FLOAT, [2, 3, "h", "w"]))
    images = torch.randn(5, 3, 4, 4)
    assert torch.equal(OnnxGraph(3, file)(images), images)


def test_smaller_logits_are_resized_as_torch_does(tmp_path):
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    file = write(tmp_path / "m.onnx", [node], ("x", FLOAT, ["n", 3, "h", "w"]), ("y", FLOAT, [None] * 4))
    images = torch.randn(1, 3, 8, 6)
    pooled = nn.functional.avg_pool2d(images, 2)
    expected = nn.functional.interpolate(pooled, (8, 6), mode="bilinear", align_corners=False)
    assert OnnxGraph(3, file)(images).numpy() == pytest.approx(expected.numpy(), abs=1e-6)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_class_indices_are_logits_of_which_one_is_possible(tmp_path, keepdims):
    node = helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=keepdims)
    file = write(tmp_path / "m.onnx", [node], ("x", FLOAT, ["n", 3, "h", "w"]), ("y", INT64, [None] * (3 + keepdims)))
    images = torch.randn(2, 3, 4, 5)
    logits = OnnxGraph(3, file, "ids")(images)
    assert torch.equal(logits.argmax(1), images.argmax(1))
    assert torch.equal(logits.softmax(1).amax(1), torch.ones(2, 4, 5))
    with pytest.raises(NetworkError, match="predicts the class index 2, and the label space has 2 classes"):
        OnnxGraph(2, file, "ids")(images)
    with pytest.raises(NetworkError, match=r"whole numbers, no logits. Type model.output=ids"):
        OnnxGraph(3, file)(images)


def test_what_is_no_network_of_images_is_refused(tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    file = write(tmp_path / "text.onnx", [node], ("x", INT64, ["n", 12]), ("y", INT64, ["n", 12]))
    with pytest.raises(NetworkError, match=r"text.onnx takes x tensor\(int64\).*; one input of images is needed"):
        OnnxGraph(3, file)
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07 nothing")
    with pytest.raises(NetworkError, match=r"broken\.onnx cannot be read as an ONNX model"):
        OnnxGraph(3, str(tmp_path / "broken.onnx"))


def test_a_file_says_that_it_takes_images_as_they_are(tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    values = ("x", FLOAT, ["n", 3, "h", "w"]), ("y", FLOAT, ["n", 3, "h", "w"])
    assert OnnxGraph(3, write(tmp_path / "m.onnx", [node], *values, {"input_range": "0-255"})).raw


class Doubled(nn.Module):
    def forward(self, images):
        return images.float() * 2


def test_a_program_computes_in_its_own_type_and_number(tmp_path):
    program = torch.export.export(Doubled(), (torch.zeros(1, 3, 4, 4, dtype=torch.uint8),))
    write_program(program, tmp_path / "m.pt2")
    graph, images = ProgramGraph(3, str(tmp_path / "m.pt2")), torch.randint(0, 256, (3, 3, 4, 4)).float()
    assert np.array_equal(graph(images), images * 2)
    with pytest.raises(NetworkError, match="does not take images of 5×4 pixels"):
        graph(torch.zeros(1, 3, 5, 4))


class Convolved(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images):
        return self.layer(images.float())


def test_a_program_computes_in_float32_whatever_is_around_it(tmp_path):
    torch.manual_seed(0)
    network, images = Convolved().eval(), torch.randint(0, 256, (1, 3, 4, 4)).float()
    write_program(torch.export.export(network, (torch.zeros(1, 3, 4, 4),)), tmp_path / "m.pt2")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = ProgramGraph(3, str(tmp_path / "m.pt2"))(images)
    assert torch.equal(found, network(images))
