"""The notebook's third question as it is typed, with weights whose every answer is known in advance."""

import csv
import hashlib
import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from datamodules.files.masks import polygon_mask
from datamodules.synthetic.generate import generate
from label_spaces.catalogue import load
from lightning_modules.networks.deeplabv3 import deeplabv3_resnet50
from lightning_modules.weights import load as weights
from lightning_modules.weights.load import PublishedWeights

HERE = ("data.num_workers=0", "trainer=cpu", "trainer.threads=1", "logger=csv")
CLASSES = load("idd_cityscapes18")


@pytest.fixture
def car_everywhere(tmp_path, monkeypatch):
    """In place of the published weights, in torch's own cache, ones that call every pixel a car."""
    state = deeplabv3_resnet50(21).state_dict()
    state["classifier.4.weight"].zero_()
    state["classifier.4.bias"].copy_(torch.eye(21)[load("voc21").classes.index("car")])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "new.pth")
    name = f"voc-{hashlib.sha256((folder / 'new.pth').read_bytes()).hexdigest()[:8]}.pth"
    (folder / "new.pth").rename(folder / name)
    monkeypatch.setattr(
        weights, "published_weights", lambda *_: PublishedWeights(f"https://weights.invalid/{name}", 21)
    )
    return name


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_voc_on_idd_comes_to_what_its_words_allow(run_command, tmp_path, car_everywhere):
    root = tmp_path / "idd"
    generate(root, seed=3, drives=10, frames_per_drive=4)
    answer = run_command("evaluate", "experiment=q3_deeplabv3_voc_on_idd", f"data.root={root}", *HERE, figures=True)
    assert answer.code == 0, answer.err
    found = answer.folder / "evaluation/val"
    scores = json.loads((found / "scores.json").read_text())
    config = yaml.safe_load((answer.folder / "config.yaml").read_text())
    assert (config["data"]["fraction"], config["model"]["name"]) == (0.3, "deeplabv3_resnet50")
    assert scores["checkpoint"]["file"] == car_everywhere
    assert (scores["label_space"], scores["policy"]["resolution"]) == ("idd_cityscapes18", [512, 512])

    # The truth, drawn and squeezed here; what the frames are is the split's to say.
    pixels, frames = np.zeros(256, np.int64), [row["sample"] for row in rows(answer.folder / "split.csv") if row["split"] == "val"]  # fmt: skip
    for frame in frames:
        mask = polygon_mask(root / frame.replace("leftImg8bit/", "gtFine/").replace("_leftImg8bit.jpg", "_gtFine_polygons.json"), CLASSES)  # fmt: skip
        square = Image.fromarray(mask).resize((512, 512), Image.Resampling.NEAREST)
        pixels += np.bincount(np.asarray(square).ravel(), minlength=256)
    pixels = pixels[: len(CLASSES.classes)]
    assert 0 < len(frames) == scores["n_expected"] == scores["n_seen"] == scores["n_unique"]

    car, present = CLASSES.classes.index("Car"), int((pixels > 0).sum())
    share = pixels[car] / pixels.sum()
    assert 0 < share < 1
    assert (scores["accuracy"], scores["miou"]) == pytest.approx((share, share / present))
    assert (scores["f1_macro"], scores["precision_macro"], scores["recall_macro"]) == pytest.approx(
        (2 * share / (1 + share) / present, share / present, 1 / present)
    )
    table = {row["name"]: row for row in rows(found / "per_class.csv")}
    assert list(table) == list(CLASSES.classes)
    assert [int(row["support"]) for row in table.values()] == pixels.tolist()
    assert [name for name, row in table.items() if row["f1"] and float(row["f1"]) >= scores["f1_macro"]] == ["Car"]
    assert {float(row["iou"]) for name, row in table.items() if row["iou"] and name != "Car"} == {0}
    assert [int(row["Car"]) for row in rows(found / "confusion.csv")[:-1]] == pixels.tolist()
    assert (
        f"This model can express 6 of 18 classes; its mIoU over those is {scores['crossing']['miou_expressible']:.3f}"
        in answer.out
    )
    assert {"confusion.png", "per_class.png"} <= {path.name for path in (found / "figures").iterdir()}
    written = sorted((found / "predictions/ids").rglob("*.png"))
    assert len(written) == len(frames)
    assert set(np.unique(np.array(Image.open(written[0])))) == {13}  # Car's csTrainId


def test_without_its_weights_it_says_which_file_goes_where(run_command, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    nowhere = PublishedWeights("http://127.0.0.1:9/voc-00000000.pth", 21)
    monkeypatch.setattr(weights, "published_weights", lambda *_: nowhere)
    (tmp_path / "idd").mkdir()
    answer = run_command("evaluate", "experiment=q3_deeplabv3_voc_on_idd", f"data.root={tmp_path / 'idd'}", *HERE)
    assert answer.code == 2
    assert f"put it at {tmp_path / 'torch/hub/checkpoints/voc-00000000.pth'}" in answer.err
    assert not (tmp_path / "runs").exists()
