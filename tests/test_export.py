"""export.py: what an export predicts is what its run predicts, through evaluate.py, predict.py and model.weights."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.test_train import QUICK, files_below

STREETS = (
    "data=mask_folder",
    "data.classes=[sky,road,car]",
    "data.image_size=[32,48]",
    "data.batch_size=4",
    "data.eval_batch_size=3",
)
CPU = ("trainer=cpu", "trainer.precision=32-true", "trainer.threads=1")


@pytest.fixture(scope="module")
def classifier(run_shared_command, image_folder):
    answer = run_shared_command(
        "train", "data=image_folder", f"data.root={image_folder}", *QUICK, "data.image_size=[32,32]", "ema.decay=0.9"
    )
    assert answer.code == 0, answer.err
    return answer.folder


def scores(folder, split="test"):
    """Everything in scores.json but the names of the run and of the file."""
    found = json.loads((folder / "evaluation" / split / "scores.json").read_text())
    return {key: value for key, value in found.items() if key not in ("run", "checkpoint")}


def test_weights_predict_what_their_run_does(run_command, classifier, image_folder, tmp_path):
    answer = run_command("export", f"run={classifier}")
    assert answer.code == 0, answer.err
    assert answer.folder.name.endswith("_export_safetensors")
    assert files_below(answer.folder) == {
        "model.safetensors", "manifest.json", "MODEL_CARD.md", "config.yaml", "split.csv", "files.csv",
    }  # fmt: skip
    manifest = json.loads((answer.folder / "manifest.json").read_text())
    assert manifest["classes"] == ["blue", "green", "red"]
    assert manifest["scores"]["test"]["accuracy"] == scores(classifier)["accuracy"]
    assert manifest["split_sha256"]["test"] == scores(classifier)["split_sha256"]
    again = run_command("evaluate", f"run={answer.folder}", figures=True)
    assert again.code == 0, again.err
    assert scores(answer.folder) == scores(classifier)
    page = (answer.folder / "evaluation/test/report.html").read_text()
    assert manifest["git_commit"]["run"] in page
    assert f"<dt>Initial weights</dt><dd>{manifest['weights']['used']}" in page  # from the manifest alone
    # And no training, which the export cannot repeat.
    assert f"python evaluate.py run={answer.folder} split=test</pre>" in page
    labels = [run_command("predict", f"run={run}", f"source={image_folder}") for run in (classifier, answer.folder)]
    tables = [(each.folder / "predictions.csv").read_bytes() for each in labels]
    assert tables[0] == tables[1]


@pytest.fixture(scope="module", params=["onnx", "torch_export"])
def graph(request, run_shared_command, classifier):
    answer = run_shared_command("export", f"run={classifier}", f"format={request.param}")
    assert answer.code == 0, answer.err
    assert (
        "compared with the network (images: 1 of 32×32, 3 of 32×32, 2 of 43×26, 1 of 26×43): logits differ by "
        in answer.out
    )
    return answer.folder


@pytest.mark.slow
def test_a_graph_predicts_what_its_run_does(run_command, classifier, graph, image_folder):
    manifest = json.loads((graph / "manifest.json").read_text())
    assert manifest["input"]["normalisation"]["inside"]
    assert max(each["difference"] for each in manifest["check"]["found"]) <= 1e-4
    answer = run_command("evaluate", f"run={graph}", figures=True)
    assert answer.code == 0, answer.err
    found, expected = scores(graph), scores(classifier)
    assert {name: round(found[name], 4) for name in ("accuracy", "f1_macro", "loss")} == {
        name: round(expected[name], 4) for name in ("accuracy", "f1_macro", "loss")
    }
    assert json.loads((graph / "evaluation/test/scores.json").read_text())["checkpoint"]["epoch"] == 1
    tables = []
    for run in (classifier, graph):
        answer = run_command("predict", f"run={run}", f"source={image_folder}")
        assert answer.code == 0, answer.err
        with (answer.folder / "predictions.csv").open() as file:
            tables.append({row["file"]: (row["label"], float(row["probability"])) for row in csv.DictReader(file)})
    assert {name: label for name, (label, _) in tables[0].items()} == {
        name: label for name, (label, _) in tables[1].items()
    }
    assert all(tables[0][name][1] == pytest.approx(tables[1][name][1], abs=1e-5) for name in tables[0])


@pytest.mark.slow
def test_weights_are_taken_from_each_format(run_command, classifier, graph, image_folder):
    file = next(graph.glob("model.*"))
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, "data.image_size=[32,32]", f"model.weights={file}", "trainer.max_epochs=1",
                         "optimizer.lr=1e-12")  # fmt: skip
    assert answer.code == 0, answer.err
    assert f"custom_cnn starts from {file}" in answer.out + answer.err
    assert scores(answer.folder)["accuracy"] == scores(classifier)["accuracy"]


@pytest.mark.slow
def test_an_export_is_not_resumed_and_has_no_other_checkpoint(run_command, graph):
    for name, typed, message in (
        ("train", (f"resume={graph}", "trainer.max_epochs=9"), "is an export, without the state of a training"),
        ("evaluate", (f"run={graph}", "checkpoint=last"), "is an export, which has one set of weights"),
        ("export", (f"run={graph}",), "is an export already"),
    ):
        answer = run_command(name, *typed)
        assert (answer.code, message in answer.err) == (2, True), answer.err


@pytest.mark.slow
def test_a_file_that_was_changed_is_refused(run_command, graph, tmp_path):
    copy = shutil.copytree(graph, tmp_path / "copy")
    file = next(copy.glob("model.*"))
    file.write_bytes(file.read_bytes() + b" ")
    answer = run_command("evaluate", f"run={copy}")
    assert answer.code == 2
    assert "is not the file that was exported" in answer.err


@pytest.fixture(scope="module")
def segmenter(run_shared_command, mask_folder):
    answer = run_shared_command("train", "model=deeplabv3_mobilenet_v3_large", "model.weights=none", *STREETS, f"data.root={mask_folder}",
                                *CPU, "trainer.max_epochs=3", "data.num_workers=0", "logger=csv")  # fmt: skip
    assert answer.code == 0, answer.err
    return answer.folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed", [("format=safetensors",), ("format=onnx",), ("format=onnx", "output=ids", "shape=fixed")], ids=str
)
def test_masks_of_an_export_are_those_of_its_run(run_command, segmenter, mask_folder, typed):
    answer = run_command("export", f"run={segmenter}", *typed)
    assert answer.code == 0, answer.err
    export = answer.folder
    assert (export / "label_space.json").exists()
    assert "| road |" in (export / "MODEL_CARD.md").read_text()
    again = run_command("evaluate", f"run={export}", figures=True)
    assert again.code == 0, again.err
    found, expected = scores(export), scores(segmenter)
    assert found["n_unique"] == expected["n_unique"] == 4
    assert [round(found[name], 4) for name in ("miou", "fwiou", "accuracy")] == [
        round(expected[name], 4) for name in ("miou", "fwiou", "accuracy")
    ]
    assert (found["loss"] is None) == ("output=ids" in typed)
    masks = [run_command("predict", f"run={run}", f"source={mask_folder / 'images'}") for run in (segmenter, export)]
    names = {path.name for path in (masks[0].folder / "masks").iterdir()}
    pixels = [[np.asarray(Image.open(each.folder / "masks" / name)) for name in sorted(names)] for each in masks]
    assert len(names) == 20
    assert np.mean(np.stack(pixels[0]) == np.stack(pixels[1])) >= 0.9999
