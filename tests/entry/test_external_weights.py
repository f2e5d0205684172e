"""External weights, in another label space, evaluated by command."""

import csv
import functools
import hashlib
import json
import re
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from lightning_modules.weights import load
from lightning_modules.weights.load import PublishedWeights
from tests.entry.conftest import DATA, MODEL, TRAINER, VOC, check_is_no_run, idd, scored
from tests.test_segmentation import calibration


@pytest.fixture(scope="module")
def voc_weights(run_shared_command, streets):
    """A checkpoint that was trained on masks of VOC's classes."""
    answer = run_shared_command("train", MODEL, "model.weights=none", *DATA, f"data.root={streets / 'voc'}", "data.label_space=voc21", *TRAINER,
                  "trainer.max_epochs=1")  # fmt: skip
    assert answer.code == 0, answer.err
    return answer.folder / "checkpoints/best.ckpt"


def test_external_weights(run_command, streets, voc_weights, tmp_path):
    typed = (MODEL, f"model.weights={voc_weights}", "model.label_space=voc21", *idd(streets), *TRAINER)
    answer = run_command("evaluate", *typed, "report.predictions=true")
    scores = scored(answer)
    assert "evaluate_deeplabv3_mobilenet_v3_large_mask_folder" in answer.folder.name
    assert scores["checkpoint"] == {"file": "best.ckpt", "epoch": None, "step": None}
    assert (scores["n_expected"], scores["n_unique"], scores["loss"]) == (4, 4, None)
    assert scores["crossing"]["from"] == "voc21"
    assert "This model can express 6 of 26 classes" in answer.out
    check_is_no_run(run_command, answer.folder)
    # The masks that are written are in the data's classes: scored as such, they come to the same matrix.
    written = answer.folder / "evaluation/test/predictions/ids"
    again = run_command(
        "evaluate", f"predictions={written}", "predictions_label_space=idd_level3", *idd(streets), *TRAINER
    )
    assert scored(again)["classes"] == scores["classes"]
    calibration(answer.folder)  # of what was predicted, in the data's classes
    assert not (again.folder / "evaluation/test/calibration.csv").exists()  # masks have no probabilities
    # It predicts the same as in an evaluation of its own run, counted in VOC's classes.
    own = run_command("evaluate", f"run={voc_weights.parents[1]}", *TRAINER)
    with (own.folder / "evaluation/test/confusion.csv").open() as file:
        counted = {
            name: sum(int(row[name]) for row in rows) for rows in [list(csv.DictReader(file))] for name in VOC.classes
        }
    with (answer.folder / "evaluation/test/uncrossed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {name: sum(int(row[name]) for row in rows) for name in VOC.classes} == counted
    # The samples' own matrices come to that of all.
    facts = np.load(answer.folder / "evaluation/test/per_sample.npz")
    summed = np.bincount(facts["uncrossed_cell"], facts["uncrossed_count"], minlength=27 * 22).reshape(27, 22)
    assert summed[:, :-1].tolist() == [[int(row[name]) for name in VOC.classes] for row in rows]


def test_any_state_dict_and_what_does_not_fit(run_command, streets, voc_weights, tmp_path):
    state = torch.load(voc_weights, weights_only=True)["state_dict"]
    state = {f"module.{name.removeprefix('network.')}": tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "plain.pt")
    typed = (MODEL, f"model.weights={tmp_path / 'plain.pt'}", *idd(streets), *TRAINER)
    assert scored(run_command("evaluate", *typed, "model.label_space=voc21"))["crossing"]["from"] == "voc21"
    answer = run_command("evaluate", *typed, "model.label_space=cityscapes19")
    assert answer.code == 2
    assert "its head (classifier.4) predicts 21 classes, and model.label_space has 19" in answer.err
    # Many publish weights without the head that only training uses.
    state = {name: tensor for name, tensor in state.items() if "aux_classifier" not in name}
    torch.save(state, tmp_path / "plain.pt")
    answer = run_command("evaluate", *typed, "model.label_space=voc21")
    assert scored(answer)["crossing"]["from"] == "voc21"
    assert "aux_classifier, which only training uses, is not in it" in answer.out
    first = next(name for name in state if name.startswith("module.backbone"))
    torch.save({name: tensor for name, tensor in state.items() if name != first}, tmp_path / "plain.pt")
    answer = run_command("evaluate", *typed, "model.label_space=voc21")
    assert answer.code == 2
    assert f"missing {first.removeprefix('module.')}" in answer.err
    assert "model.partial=true" in answer.err
    answer = run_command("evaluate", *typed, "model.label_space=voc21", "model.partial=true")
    assert scored(answer)["crossing"]["from"] == "voc21"
    assert f"left as it was: missing {first.removeprefix('module.')}" in answer.out


def test_weights_that_predict_nan_have_no_scores(run_command, streets, voc_weights, tmp_path):
    state = torch.load(voc_weights, weights_only=True)["state_dict"]
    state["network.classifier.4.bias"][3] = torch.nan
    torch.save(state, tmp_path / "broken.pt")
    folder = tmp_path / "scored"
    answer = run_command("evaluate", MODEL, f"model.weights={tmp_path / 'broken.pt'}", "model.label_space=voc21", *idd(streets), *TRAINER,
                  "report.predictions=true", f"hydra.run.dir={folder}")  # fmt: skip
    assert answer.code == 1
    assert re.search(
        r"^The logits of images/\d\d\.png are not finite, so that no class can be predicted\.",
        answer.err,
        re.MULTILINE,
    )
    assert "tensors of its weights are not finite, such as classifier.4.bias: use other weights." in answer.err
    assert "Traceback" not in answer.err
    assert not list((folder / "evaluation").iterdir())
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("failed", 1)
    assert "are not finite" in status["error"]


def normalisation(answer):
    assert answer.code == 0, answer.err
    model = yaml.safe_load((answer.folder / "config.yaml").read_text())["model"]
    return model["mean"], model["std"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Keep the test's output quiet."""


def test_published_weights_are_downloaded_or_reported_as_missing(
    run_command, streets, voc_weights, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = torch.load(voc_weights, weights_only=True)["state_dict"]
    published = tmp_path / "published.pth"
    torch.save({name.removeprefix("network."): tensor for name, tensor in state.items()}, published)
    name = f"voc-{hashlib.sha256(published.read_bytes()).hexdigest()[:8]}.pth"
    published.rename(tmp_path / name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    published_here = PublishedWeights(f"http://127.0.0.1:{server.server_port}/{name}", 21)
    monkeypatch.setattr(load, "published_weights", lambda *_: published_here)
    typed = (MODEL, "model.weights=coco_voc", *idd(streets), *TRAINER)
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        answer = run_command("evaluate", *typed)
        server.shutdown()
        thread.join()
    scores = scored(answer)
    assert (scores["crossing"]["from"], scores["checkpoint"]["file"]) == ("voc21", name)
    assert json.loads((answer.folder / "environment.json").read_text())["weights"]["used"] == "coco_voc"
    (tmp_path / "torch/hub/checkpoints" / name).unlink()
    answer = run_command("evaluate", *typed)
    assert answer.code == 2
    assert f"put it at {tmp_path / 'torch/hub/checkpoints' / name}" in answer.err


@pytest.mark.slow
def test_weights_of_a_run_bring_their_classes_and_their_normalisation(run_command, streets, voc_weights, tmp_path):
    run = Path(shutil.copytree(voc_weights.parents[1], tmp_path / "run"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"] |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    exported = run_command("export", f"run={run}")
    assert exported.code == 0, exported.err
    space = tmp_path / "swapped.csv"
    names = [*VOC.classes[:-2], VOC.classes[-1], VOC.classes[-2]]
    space.write_text("\n".join(["name,id", *(f"{name},{index}" for index, name in enumerate(names))]))
    for file in (run / "checkpoints/best.ckpt", exported.folder / "model.safetensors"):
        typed = (MODEL, f"model.weights={file}", *TRAINER)
        answer = run_command("evaluate", *typed, *idd(streets), "model.label_space=voc21")
        assert scored(answer)["crossing"]["from"] == "voc21"
        assert "were trained on" not in answer.out
        assert normalisation(answer) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
        answer = run_command(
            "evaluate", *typed, *idd(streets), "model.label_space=voc21", "model.mean=[0,0,0]", "model.std=[1,1,1]"
        )
        assert normalisation(answer) == ([0, 0, 0], [1, 1, 1])
        # As many classes, which fit the weights: only their names tell that they are in another order.
        data = (*DATA, f"data.root={streets / 'voc'}", f"data.label_space={space}", "data.void_ids=[255]")
        answer = run_command("evaluate", *typed, *data, "model.label_space=data")
        assert (answer.code, "Traceback" in answer.err) == (2, False)
        assert f"model.weights={file} was trained on voc21 (background, " in answer.err
        assert "train, tvmonitor have other places than in model.label_space=data" in answer.err
        space_of_others = tmp_path / "others.csv"
        space_of_others.write_text(space.read_text().replace("tvmonitor", "screen").replace("train", "tram"))
        data = (*data[:-2], f"data.label_space={space_of_others}", data[-1])
        answer = run_command("evaluate", *typed, *data, "model.label_space=data")
        assert answer.code == 0, answer.err
        assert "these weights were trained on voc21: train is read as screen, tvmonitor is read as tram" in answer.out
