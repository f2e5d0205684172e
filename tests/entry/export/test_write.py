"""Exports of networks that were never trained: segmenters, indices, a fixed shape, and one that differs."""

import json

import pytest
import torch

from entry import load_run
from entry.config.run_config import read_settings
from entry.errors import ExportError, RequestError
from entry.export import formats, write
from entry.export.check import pictures
from label_spaces.space import LabelSpace
from run_folder import RunFolder
from settings.export import ExportKeys
from tests.entry.test_model import lively, make_run

SPACE = LabelSpace("mask_folder", ("road", "sky", "car"))
DATA = (
    "data=mask_folder",
    "data.root=.",
    "data.classes=[road,sky,car]",
    "data.image_size=[32,48]",
    "trainer.precision=32-true",
)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    make_run(folder, SPACE, "model=lraspp_mobilenet_v3_large", *DATA, change=lively)
    return RunFolder(folder)


def exported(run, target, **keys):
    write.export(run, read_settings(run, ()), ExportKeys(**keys), "best", target)
    return json.loads((target / "manifest.json").read_text())


@pytest.mark.slow
def test_class_indices_of_a_fixed_shape(segmenter, tmp_path):
    """The smallest graph for a vehicle: one image of one size in, a class for each pixel out."""
    onnxruntime = pytest.importorskip("onnxruntime")
    manifest = exported(segmenter, tmp_path / "out", format="onnx", output="ids", shape="fixed", input="float32")
    assert manifest["trtexec"] == "trtexec --onnx=model.onnx --saveEngine=model.engine"
    session = onnxruntime.InferenceSession(tmp_path / "out/model.onnx", providers=["CPUExecutionProvider"])
    (given,), (found,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("images", "tensor(float)", [1, 3, 32, 48])
    assert (found.name, found.type, found.shape) == ("ids", "tensor(int32)", [1, 32, 48])
    images = pictures(1, 32, 48)
    ids = session.run(None, {"images": images.float().numpy()})[0]
    model = load_run(segmenter.path)
    expected, _ = model.segment(images, ["image"])
    assert (ids == expected).mean() >= 0.9999
    again, shares = load_run(tmp_path / "out").segment(images, ["image"], "best")
    assert (again == ids).all()
    assert (shares == 1).all()  # an index has no probability


@pytest.mark.slow
def test_axes_of_any_length_are_named_and_facts_are_in_the_file(segmenter, tmp_path):
    onnx = pytest.importorskip("onnx")
    manifest = exported(segmenter, tmp_path / "out", format="onnx")
    model = onnx.load(tmp_path / "out/model.onnx")
    axes = [axis.dim_param or axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", 3, "height", "width"]
    facts = {each.key: each.value for each in model.metadata_props}
    assert (json.loads(facts["classes"]), facts["input_range"]) == (["road", "sky", "car"], "0-255")
    assert "--maxShapes=images:8x3x32x48" in manifest["trtexec"]
    names = {each.name for each in model.graph.initializer}
    state = torch.load(segmenter.checkpoints / "best.ckpt", weights_only=True)["state_dict"]
    weights = {name for name in state if not name.endswith("num_batches_tracked")}
    assert weights <= names  # none is merged into another: model.weights= can take them by name


def test_an_export_that_differs_leaves_nothing(segmenter, tmp_path, monkeypatch):
    def wrong(path, module, *rest):
        next(module.network.parameters()).data.mul_(1.01)
        write_file(path, module, *rest)
        next(module.network.parameters()).data.div_(1.01)

    write_file = formats.write_file
    monkeypatch.setattr(write, "write_file", wrong)
    with pytest.raises(
        ExportError, match=r"The export does not predict what the network does: for \d images of .* logits differ by"
    ):
        exported(segmenter, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_traced_is_refused(segmenter, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("data-dependent\nlong explanation")

    monkeypatch.setattr(torch.export, "export", fails)
    with pytest.raises(
        RequestError, match=r"torch.export cannot export this network: data-dependent. .* type shape=fixed"
    ):
        exported(segmenter, tmp_path / "out", format="torch_export")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_a_decoder_of_smp_on_efficientnet_lite_at_any_size(tmp_path, kind):
    folder = tmp_path / "run"
    typed = ("model=smp", "model.arch=FPN", "model.encoder=tu-tf_efficientnet_lite0", "model.weights=none")
    make_run(folder, SPACE, *typed, *DATA, "data.image_size=[64,96]")
    manifest = exported(RunFolder(folder), tmp_path / "out", format=kind)
    assert {each["width"] % 32 == 0 for each in manifest["check"]["found"]} == {True, False}
    assert max(each["difference"] for each in manifest["check"]["found"]) <= 1e-4
