"""experiment=idd_level3 from end to end, on tiny generated frames in IDD's layout: its training, and the masks for IDD's server."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.test_predictions import make_streets

pytestmark = pytest.mark.slow
TINY = ("data.load_size=[64,96]", "data.image_size=[48,48]", "data.eval_size=[64,96]", "data.batch_size=4", "model.encoder=mit_b0",
        "model.weights=none", "trainer=cpu", "trainer.accumulate=2", "trainer.threads=1", "trainer.max_steps=7", "scheduler.warmup_steps=2", "data.num_workers=0", "logger=csv",
        "report.html=false")  # fmt: skip


def test_it_trains_for_its_steps_and_writes_the_servers_masks(run_command, tmp_path):
    pytest.importorskip("segmentation_models_pytorch")
    root = make_streets(tmp_path / "idd")
    answer = run_command("train", "experiment=idd_level3", f"data.root={root}", *TINY)
    assert answer.code == 0, answer.err
    state = torch.load(answer.folder / "checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == 7
    with (answer.folder / "history.csv").open(encoding="utf-8") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [4, 7]
    config = yaml.safe_load((answer.folder / "config.yaml").read_text())
    assert (config["data"]["label_space"], config["data"]["sampling"]) == ("idd_level3", "balanced")
    scores = json.loads((answer.folder / "evaluation/val/scores.json").read_text())
    assert 0 <= scores["miou"] <= 1
    answer = run_command("evaluate", f"run={answer.folder}", "split=test")
    assert answer.code == 0, answer.err
    frames = sorted(path.stem.removesuffix("_leftImg8bit") for path in (root / "leftImg8bit/test").rglob("*.png"))
    masks = sorted((answer.folder / "evaluation/test/predictions/ids").rglob("*_gtFine_labellevel3Ids.png"))
    assert sorted(path.name.removesuffix("_gtFine_labellevel3Ids.png") for path in masks) == frames
    assert max(np.asarray(Image.open(path)).max() for path in masks) < 26
