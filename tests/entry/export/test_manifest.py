"""manifest.json: facts of the run itself, and scores of this very checkpoint only."""

import hashlib
import json
from dataclasses import replace

import pytest

from entry.checkpoint import find_checkpoint
from entry.config.run_config import read_settings
from entry.export.manifest import Description, licence, manifest, scores, split_hashes, trtexec
from label_spaces.space import LabelSpace
from run_folder import RunFolder, write_json, write_text
from settings.export import ExportKeys
from tests.entry.evaluation.test_summary import SCORES
from tests.entry.test_model import make_run

SPACE = LabelSpace("image_folder", ("blue", "green"))
SPLIT = "sample,group,target,split\na.png,a.png,blue,train\nb.png,b.png,green,test\n"
FIGURES = {**SCORES, "task": "classification", "accuracy": 0.75, "f1_macro": 0.5, "loss": 0.9, "n_expected": 1, "n_unique": 1,
           "intervals": {"accuracy": [0.5, 0.9], "f1_macro": [0.1, 0.8], "miou": None}}  # fmt: skip


@pytest.fixture
def described(tmp_path):
    make_run(
        tmp_path / "run", SPACE, "data=image_folder", "data.root=.", "data.image_size=[16,16]", "model.weights=none"
    )
    folder = RunFolder(tmp_path / "run")
    write_text(folder.split, SPLIT)
    write_json(
        folder.environment, {"parameters": 7, "git_commit": "abc", "weights": {"requested": "auto", "used": "imagenet"}}
    )
    found = find_checkpoint(folder, "best")
    for split, origin in (("test", found.origin), ("val", {**found.origin, "step": 99})):
        folder.evaluation(split).mkdir(parents=True)
        write_json(folder.evaluation(split) / "scores.json", {**FIGURES, "checkpoint": origin})
    return Description(folder, read_settings(folder, ()), ExportKeys(format="onnx"), found, SPACE, (16, 16))


def test_everything_that_is_needed_to_use_a_file(described, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"graph")
    found = manifest(described, file)
    assert found["sha256"] == hashlib.sha256(b"graph").hexdigest()
    assert (found["task"], found["classes"], found["ids"], found["colours"]) == (
        "classification",
        ["blue", "green"],
        None,
        None,
    )
    assert found["input"]["normalisation"] == {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "inside": True,
    }
    assert (found["input"]["dtype"], found["input"]["size"], found["input"]["range"]) == ("uint8", [16, 16], [0, 255])
    assert (found["parameters"], found["git_commit"]["run"]) == (7, "abc")
    weights = manifest(replace(described, keys=ExportKeys()), file)
    assert (weights["input"]["normalisation"]["inside"], weights["trtexec"]) == (False, None)
    json.dumps(found, allow_nan=False)


def test_scores_are_those_of_the_checkpoint_that_is_exported(described):
    found = scores(described)
    assert list(found) == ["test"]  # val was evaluated with another step
    assert (found["test"]["accuracy"], found["test"]["intervals"]["accuracy"]) == (0.75, [0.5, 0.9])


def test_hashes_are_of_the_rows_of_each_split(described):
    rows = "sample,group,target,split\nb.png,b.png,green,test\n"
    found = split_hashes(described.folder)
    assert found["test"] == hashlib.sha256(rows.encode()).hexdigest()
    assert set(found) == {"train", "test"}


@pytest.mark.parametrize(
    ("name", "part"),
    [("synthetic_idd", "no terms of their own"), ("idd_lite", "India Driving Dataset"), ("idd", "India Driving Dataset"), ("mask_folder", "data=mask_folder")],
)  # fmt: skip
def test_the_terms_of_the_data_and_of_the_first_weights_are_named(described, name, part):
    settings = described.settings
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"name": name})})
    found = " ".join(licence(settings, {"used": "/secret/place/first.pt"}))
    assert part in found
    assert "weights first.pt" in found
    assert "/secret" not in found


def test_the_line_for_tensorrt():
    assert trtexec(ExportKeys(format="onnx"), (227, 320)) == (
        "trtexec --onnx=model.onnx --minShapes=images:1x3x227x320 --optShapes=images:1x3x227x320 --maxShapes=images:8x3x227x320 "
        "--saveEngine=model.engine"
    )
    assert trtexec(ExportKeys(format="torch_export"), (227, 320)) is None
