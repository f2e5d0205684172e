"""Run folders that an earlier version wrote are evaluated, predicted with and resumed as by that version.

fixtures/old_runs was made at commit 37fb96a, on images that tests/conftest.py makes again. Of the segmentation run the
checkpoint's weights alone are kept (its convolutions are sparse, so that the file is small).
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import make_image_folder

OLD = Path(__file__).resolve().parent / "fixtures/old_runs"
# What commit 37fb96a wrote into history.csv when it resumed the run for two epochs more: train/loss, train_eval/loss, val/loss.
RESUMED = {2: (0.7869, 1.0759, 1.0735), 3: (0.7384, 1.0584, 1.0503)}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    classes = {"a": (100, 100, 100), "b": (108, 100, 100), "c": (100, 108, 100)}
    return make_image_folder(tmp_path_factory.mktemp("old") / "images", per_class=13, classes=classes)


@pytest.fixture
def classified(tmp_path):
    return shutil.copytree(OLD / "classification", tmp_path / "classified")


@pytest.fixture
def segmented(tmp_path):
    run = shutil.copytree(OLD / "segmentation", tmp_path / "segmented")
    state = {name: torch.from_numpy(array) for name, array in np.load(run / "weights.npz").items()}
    names = {"label_space": "mask_folder", "classes": ["sky", "road", "car"]}
    (run / "checkpoints").mkdir()
    torch.save(
        {"state_dict": state, "epoch": 3, "global_step": 16, "hyper_parameters": names}, run / "checkpoints/best.ckpt"
    )
    return run


def figures(run: Path, split: str = "test") -> dict:
    scores = json.loads((run / "evaluation" / split / "scores.json").read_text())
    return {key: value for key, value in scores.items() if key not in ("run", "loss")}


def confusion(run: Path) -> str:
    return (run / "evaluation/test/confusion.csv").read_text()


def test_a_classification_run_is_evaluated_as_before(run_command, classified, images):
    answer = run_command("evaluate", f"run={classified}", f"data.root={images}")
    assert answer.code == 0, answer.err
    assert confusion(classified) == confusion(OLD / "classification")
    assert figures(classified) == figures(OLD / "classification")


def test_a_segmentation_run_is_evaluated_as_before(run_command, segmented, mask_folder):
    answer = run_command("evaluate", f"run={segmented}", f"data.root={mask_folder}")
    assert answer.code == 0, answer.err
    assert confusion(segmented) == confusion(OLD / "segmentation")
    assert figures(segmented) == figures(OLD / "segmentation")


def test_an_old_run_predicts(run_command, classified, segmented, images, mask_folder):
    for run, source in ((classified, images / "a"), (segmented, mask_folder / "images")):
        answer = run_command("predict", f"run={run}", f"source={source}")
        assert answer.code == 0, answer.err
        with (answer.folder / "predictions.csv").open() as file:
            assert len(list(csv.DictReader(file))) == len(list(source.iterdir()))


def test_a_classification_run_is_resumed_with_the_losses_that_it_had(run_command, classified, images):
    answer = run_command("train", f"resume={classified}", f"data.root={images}", "trainer.max_epochs=4")
    assert answer.code == 0, answer.err
    with (classified / "history.csv").open() as file:
        rows = {int(row["epoch"]): row for row in csv.DictReader(file)}
    assert sorted(rows) == [0, 1, 2, 3]
    for epoch, losses in RESUMED.items():
        found = [float(rows[epoch][name]) for name in ("train/loss", "train_eval/loss", "val/loss")]
        assert found == pytest.approx(losses, abs=2e-3)
