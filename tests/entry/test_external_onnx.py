"""An ONNX file that was not made here, evaluated by command and crossed as weights are."""

import json

import numpy as np
import pytest

from label_spaces.catalogue import load
from tests.entry.conftest import BANDS, LEVEL3, ROWS, TRAINER, VOC, check_is_no_run, idd, scored

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
# A band of the streets has the grey of its number, a multiple of 32; the class that a perfect predictor gives it.
GREYS = np.arange(0, 256, 32)


def model(path, space, *, kind=FLOAT, scale=1.0, ids=False, size=("h", "w")):
    """A perfect predictor: the class of the band whose grey, times `scale`, is nearest to a pixel's mean."""
    bands = [name if name in space.classes else space.classes[0] for name in _names(space)]
    choice = np.zeros((space.num_classes, len(bands), 1, 1), np.float32)
    choice[[space.classes.index(name) for name in bands], range(len(bands))] = 1
    weights = {"greys": (GREYS * scale).astype(np.float32).reshape(1, -1, 1, 1), "choice": choice, "hot": np.array([0, 1], np.float32),
               "count": np.array([len(bands)]), "axes": np.array([1])}  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["images"], ["numbers"], to=FLOAT),
        helper.make_node("ReduceMean", ["numbers", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["mean", "greys"], ["apart"]),
        helper.make_node("Abs", ["apart"], ["distance"]),
        helper.make_node("ArgMin", ["distance"], ["nearest"], axis=1, keepdims=0),
        helper.make_node("OneHot", ["nearest", "count", "hot"], ["band"], axis=1),
        helper.make_node("Conv", ["band", "choice"], ["logits"]),
        *([helper.make_node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0)] if ids else []),
    ]
    height, width = size
    outputs = helper.make_tensor_value_info("ids", INT64, ["n", height, width]) if ids else helper.make_tensor_value_info(
        "logits", FLOAT, ["n", space.num_classes, height, width]
    )  # fmt: skip
    graph = helper.make_graph(
        nodes, "bands", [helper.make_tensor_value_info("images", kind, ["n", 3, height, width])], [outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    made.ir_version = 10
    onnx.checker.check_model(made)
    onnx.save_model(made, str(path))
    return f"model.onnx={path}"


def _names(space):
    return list(BANDS.values()) if space is VOC else [name or "" for name in BANDS]


def test_a_perfect_predictor_of_other_classes_is_crossed(run_command, streets, tmp_path):
    file = model(tmp_path / "vendor.onnx", VOC, kind=UINT8)
    answer = run_command(
        "evaluate", file, "model.label_space=voc21", *idd(streets), *TRAINER, "report.predictions=true"
    )
    found = scored(answer)
    assert answer.folder.name.endswith("_evaluate_vendor_mask_folder")
    assert (found["checkpoint"]["file"], found["crossing"]["from"], found["loss"]) == ("vendor.onnx", "voc21", None)
    assert "from images as they are, 0–255; its first output is read as logits." in answer.out
    by_name = {each["name"]: each["iou"] for each in found["classes"]}
    assert by_name["car"] > 0.9  # noise moves few pixels into another band
    assert by_name["rider"] == 0  # VOC has no riders
    weights = json.loads((answer.folder / "environment.json").read_text())["weights"]
    assert weights["used"] == str(tmp_path / "vendor.onnx")
    assert len(weights["sha256"]) == 64
    check_is_no_run(run_command, answer.folder)
    # The masks that are written have the same scores.
    masks = answer.folder / "evaluation/test/predictions/ids"
    again = run_command(
        "evaluate", f"predictions={masks}", "predictions_label_space=idd_level3", *idd(streets), *TRAINER
    )
    assert scored(again)["classes"] == found["classes"]


def test_indices_and_logits_of_the_same_classes_have_the_same_scores(run_command, streets, tmp_path):
    """A file in floating point gets its images normalised: mean 0.5 and deviation 0.25 move the greys."""
    files = {}
    for ids in (False, True):
        path = tmp_path / f"{ids}.onnx"
        files[ids] = model(path, LEVEL3, ids=ids)
        made = onnx.load(path)
        greys = next(each for each in made.graph.initializer if each.name == "greys")
        normalised = ((GREYS / 255 - 0.5) / 0.25).astype(np.float32).reshape(1, -1, 1, 1)
        greys.CopyFrom(numpy_helper.from_array(normalised, "greys"))
        onnx.save_model(made, path)
    typed = (
        "model.label_space=data",
        "model.mean=[0.5,0.5,0.5]",
        "model.std=[0.25,0.25,0.25]",
        *idd(streets),
        *TRAINER,
    )
    logits = run_command("evaluate", files[False], *typed)
    ids = run_command("evaluate", files[True], *typed, "model.output=ids")
    assert scored(logits)["classes"] == scored(ids)["classes"]
    assert scored(ids)["accuracy"] > 0.95
    assert scored(ids)["loss"] is None
    assert (logits.folder / "evaluation/test/calibration.csv").exists()
    assert not (ids.folder / "evaluation/test/calibration.csv").exists()  # indices have no probabilities


def test_what_does_not_fit_is_refused_with_what_to_type(run_command, streets, tmp_path):
    assert len(ROWS) == len(GREYS)
    fits = (*idd(streets), *TRAINER)
    raw, fixed = model(tmp_path / "raw.onnx", VOC, kind=UINT8), model(tmp_path / "fixed.onnx", VOC, size=(64, 96))
    for typed, message in (
        ((raw, *fits), "which classes does this model predict, and in which order? Type model.label_space="),
        ((raw, "model.label_space=cityscapes19", *fits), "21×"),
        (
            (raw, "model.label_space=voc21", "model.mean=[0,0,0]", *fits),
            "takes images of 0–255 as they are. Leave out model.mean",
        ),
        ((fixed, "model.label_space=voc21", *fits), "Type 'data.eval_size=[64,96]'"),
        ((raw, "model.label_space=voc21", "model=deeplabv3_resnet50", *fits), "model.onnx= makes no sense with model="),
        ((raw, "model.label_space=voc21", "optimizer.lr=1", *fits), "model.onnx= makes no sense with optimizer.lr="),
        (
            (raw, "model.output=ids", "model.label_space=voc21", "evaluation.flip=true", *fits),
            "class indices cannot be averaged",
        ),
        (("model.output=ids", *fits), "model.onnx= predicts, which is missing"),
        ((f"model.onnx={tmp_path / 'none.onnx'}", "model.label_space=voc21", *fits), "there is no such file"),
        ((raw, "model.label_space=voc21", "data=image_folder", "data.root=."), "has none to score them with"),
    ):
        answer = run_command("evaluate", *typed)
        assert (answer.code, message in answer.err, "Traceback" in answer.err) == (2, True, False), answer.err


def test_every_class_of_the_streets_is_in_its_label_space():
    assert load("voc21").classes == VOC.classes
    assert set(_names(LEVEL3)) - {""} <= set(LEVEL3.classes)
