"""Segmentation as it is typed: the run folder, its scores against sklearn, repeated, resumed, and shared by two ranks."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score

from entry import writing
from tests.callbacks.test_ema import assert_evaluations_repeat_the_validation
from tests.chaos.harness import ROOT, compare, finish, start

KEYS = ("model=deeplabv3_mobilenet_v3_large", "model.weights=none", "data=mask_folder", "data.classes=[sky,road,car]", "trainer=cpu", "trainer.threads=1",
        "trainer.precision=32-true", "logger=csv", "data.num_workers=0", "data.image_size=[32,48]", "data.batch_size=4", "trainer.max_epochs=2", "aug=road")  # fmt: skip


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Pictures of a sky over a road with a car, whose colours say which is which, and some void."""
    root = tmp_path_factory.mktemp("streets")
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for i in range(20):
        draws = np.random.default_rng(i)
        mask = np.zeros((32, 48), np.uint8)
        mask[draws.integers(10, 20) :] = 1
        left = draws.integers(0, 36)
        mask[18:26, left : left + 12] = 2
        mask[30:] = 255
        colour = np.array([[120, 170, 230], [90, 90, 95], [200, 40, 40], *[[0, 0, 0]] * 253])[mask]
        Image.fromarray((colour + draws.normal(0, 12, colour.shape)).clip(0, 255).astype(np.uint8)).save(
            root / "images" / f"{i:02}.png"
        )
        Image.fromarray(mask).save(root / "masks" / f"{i:02}.png")
    return root


@pytest.fixture
def run(door, streets):
    answer = door("train", *KEYS, f"data.root={streets}")
    assert answer.code == 0, answer.err
    return answer


def scores(folder):
    return json.loads((folder / "evaluation/test/scores.json").read_text())


def test_the_scores_are_those_of_the_matrix_and_each_frame_is_counted_once(run, streets):
    found = scores(run.folder)
    assert (found["task"], found["n_expected"], found["n_seen"], found["n_unique"]) == ("segmentation", 4, 4, 4)
    with (run.folder / "evaluation/test/confusion.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["truth", "sky", "road", "car", "void"]
    counts = np.array([[int(cell) for cell in row[1:]] for row in rows[1:]])
    truth, guess = (np.repeat(grid.ravel(), counts.ravel()) for grid in np.indices(counts.shape))
    known = truth < 3
    ious = jaccard_score(truth[known], guess[known], labels=range(3), average=None, zero_division=0)
    assert [entry["iou"] or 0 for entry in found["classes"]] == pytest.approx(ious)
    assert found["miou_present"] == pytest.approx(ious.mean())
    names = np.load(run.folder / "evaluation/test/per_sample.npz")["sample"]
    masks = np.concatenate(
        [np.array(Image.open(streets / "masks" / f"{name.split('/')[-1][:2]}.png")).ravel() for name in names]
    )
    assert counts[:3].sum(1).tolist() == np.bincount(masks, minlength=3)[:3].tolist()
    assert found["policy"]["resolution"] == [32, 48]
    assert set(found["baselines"]) == {"position_prior", "colour_table", "colour_row"}
    assert found["baselines"]["colour_table"]["miou"] > 0.9  # the colours say which is which
    assert "miou" in run.out.splitlines()[-2]


def test_pixels_are_called_pixels_and_the_curves_show_what_the_best_was_chosen_by(door, streets, monkeypatch):
    told = {}
    monkeypatch.setattr(writing, "write_figures", lambda *given: told.update(score=given[-2], unit=given[-1]))
    answer = door("train", *KEYS, f"data.root={streets}", "trainer.max_epochs=1")
    assert answer.code == 0, answer.err
    assert told == {"score": "miou", "unit": "pixels"}
    assert "mask_folder: 3 classes, pixels of each" in answer.out
    rows = [line.split() for line in answer.out.splitlines()]
    masks = [np.array(Image.open(path)) for path in sorted((streets / "masks").iterdir())]
    known = sum(int((mask < 3).sum()) for mask in masks)
    assert sum(int(n.replace(",", "")) for n in next(row for row in rows if row[:2] == ["all", "pixels"])[2:]) == known
    assert ["frames", "14", "2", "4"] in rows


def test_per_sample_matrices_add_up(run):
    facts = np.load(run.folder / "evaluation/test/per_sample.npz")
    total = np.zeros(16, np.int64)
    np.add.at(total, facts["cell"], facts["count"])
    with (run.folder / "evaluation/test/confusion.csv").open() as file:
        counts = [[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
    assert total.reshape(4, 4).tolist() == counts


def test_evaluating_repeats_the_scores_byte_for_byte(door, run):
    before = (run.folder / "evaluation/test/scores.json").read_bytes()
    answer = door("evaluate", f"run={run.folder}")
    assert answer.code == 0, answer.err
    assert (run.folder / "evaluation/test/scores.json").read_bytes() == before


@pytest.mark.slow
def test_averaged_weights_are_validated_and_evaluated_for_masks_too(door, streets):
    run = door("train", *KEYS, f"data.root={streets}", "ema.decay=0.9", "optimizer.lr=0.01").folder

    def evaluate(name):
        assert door("evaluate", f"run={run}", "split=val", f"checkpoint={name}").code == 0

    assert_evaluations_repeat_the_validation(evaluate, run)


def test_pictures_of_any_size_get_masks_and_overlays(door, run, streets, tmp_path):
    pictures = tmp_path / "pictures"
    (pictures / "deep").mkdir(parents=True)
    Image.open(streets / "images" / "03.png").resize((61, 45)).save(pictures / "a.jpg")
    Image.open(streets / "images" / "04.png").save(pictures / "deep" / "b.png")
    (pictures / "broken.jpg").write_text("no picture")
    answer = door("predict", f"run={run.folder}", f"source={pictures}")
    assert answer.code == 1
    assert "broken.jpg" in answer.err
    with (answer.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"].rsplit("/", 1)[-1] for row in rows] == ["a.jpg", "b.png"]
    mask = Image.open(answer.folder / "masks" / "a.png")
    assert (mask.size, mask.mode) == ((61, 45), "P")
    indices = np.array(mask)
    assert set(np.unique(indices)) <= {0, 1, 2}
    assert float(rows[0]["road"]) == pytest.approx((indices == 1).mean())
    assert Image.open(answer.folder / "overlays" / "deep" / "b.png").size == (48, 32)


def test_a_dataset_for_the_other_task_is_told_which_model_fits(door, streets):
    answer = door("train", "model=resnet18", "data=mask_folder", "data.classes=[sky,road,car]", f"data.root={streets}")
    assert answer.code == 2
    assert "deeplabv3_mobilenet_v3_large" in answer.err


@pytest.mark.slow
def test_a_stop_and_two_ranks_change_nothing_for_masks_either(tmp_path, streets):
    typed = [
        *KEYS,
        f"data.root={streets}",
        "trainer.deterministic=true",
        "checkpointing.every_n_steps=1",
        "loss.name=ohem",
        "ema.decay=0.9",
    ]
    finish(start(f"hydra.run.dir={tmp_path / 'whole'}", *typed))
    process = start(f"hydra.run.dir={tmp_path / 'killed'}", *typed)
    while not (tmp_path / "killed/checkpoints/last.ckpt").exists():
        assert process.poll() is None
    process.kill()
    process.communicate()
    finish(start(f"resume={tmp_path / 'killed'}"))
    assert compare(tmp_path / "whole", tmp_path / "killed") == []
    one = scores(tmp_path / "whole")
    for ranks in (2, 3):
        command = [
            sys.executable,
            "evaluate.py",
            f"run={tmp_path / 'whole'}",
            "trainer=ddp_cpu",
            f"trainer.devices={ranks}",
            "data.eval_batch_size=1",
        ]
        subprocess.run(
            [*command, "trainer.threads=1", "trainer.precision=32-true"], cwd=ROOT, check=True, capture_output=True
        )
        several = scores(tmp_path / "whole")
        assert several["classes"] == one["classes"]
        assert several["n_unique"] == 4
