"""Pixels divided by the size of their region: after training, of a run, of weights and of external masks."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, jaccard_score

from metrics.slices import SIZE_BOUNDS
from tests.metrics.test_regions import flood_filled

MODEL = "model=deeplabv3_mobilenet_v3_large"
TRAINER = ("trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "logger=csv")
VOID = 3
ASKED = "report.region_sizes=true"


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Frames of 112×120: a sky that is large, a road that is medium, small cars, in the sky a medium one, and some void."""
    root = tmp_path_factory.mktemp("streets")
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for i in range(10):
        draws = np.random.default_rng(i)
        mask = np.zeros((112, 120), np.uint8)
        mask[90:] = 1
        mask[110:] = 255
        for left in draws.integers(0, 110, 3):
            mask[84:94, left : left + 9] = 2
        if i % 2:
            mask[10:45, 20:52] = 2
        colour = np.array([[120, 170, 230], [90, 90, 95], [200, 40, 40], *[[0, 0, 0]] * 253])[mask]
        picture = (colour + draws.normal(0, 40, colour.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    (root / "space.csv").write_text("name,id,void\nsky,0,no\nroad,1,no\ncar,2,no\nnothing,255,yes\n")
    return root


@pytest.fixture(scope="module")
def data(streets):
    return ("data=mask_folder", f"data.root={streets}", f"data.label_space={streets / 'space.csv'}", "data.num_workers=0",
            "data.image_size=[32,32]", "data.eval_size=[112,120]", "data.batch_size=4", "data.eval_batch_size=1")  # fmt: skip


def slices(folder):
    with (folder / "evaluation/test/slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    return rows, {row["value"]: row for row in rows if row["slice"] == "region_size"}


def without_regions(rows):
    return [row for row in rows if row["slice"] != "region_size"]


def checked(rows, by_size, pairs):
    """Rows are what sklearn computes from (truth, prediction) masks, and together the whole."""
    sizes = [flood_filled(truth, VOID, SIZE_BOUNDS) for truth, _ in pairs]
    for number, name in enumerate(("small", "medium", "large"), 1):
        row, chosen = by_size[name], [size == number for size in sizes]
        truth, predicted = (
            np.concatenate([pair[i][at] for pair, at in zip(pairs, chosen, strict=True)]) for i in (0, 1)
        )
        occurring = sorted({*truth.tolist(), *predicted.tolist()} - {VOID})
        ious = jaccard_score(truth, predicted, labels=occurring, average="macro", zero_division=0)
        assert (int(row["support"]), int(row["n_samples"])) == (len(truth), sum(map(np.any, chosen)))
        assert (float(row["accuracy"]), float(row["miou"])) == pytest.approx((accuracy_score(truth, predicted), ious))
        assert int(row["miou_classes"]) == len(occurring)
    assert sum(int(row["support"]) for row in by_size.values()) == int(rows[0]["support"])
    right = sum(float(row["accuracy"]) * int(row["support"]) for row in by_size.values())
    assert right == pytest.approx(float(rows[0]["accuracy"]) * int(rows[0]["support"]))


def masks_of(*folders):
    """(truth, prediction, …) masks with void's index, frame by frame; those of the last folder."""
    for path in sorted(folders[-1].iterdir()):
        masks = (np.array(Image.open(folder / path.name)) for folder in folders)
        yield tuple(np.where(mask == 255, VOID, mask) for mask in masks)


def without_cars(pairs):
    return [(truth, np.where(predicted == 2, VOID, predicted)) for truth, predicted in pairs]


@pytest.fixture
def walk(streets):
    """A crosswalk of somebody who has no word for cars."""
    path = streets / "walk.csv"
    path.write_text("source,target\nsky,sky\nroad,road\ncar,\n")
    return f"crosswalk={path}"


def test_masks_from_elsewhere(run_command, streets, data, walk, tmp_path):
    masks = (
        f"predictions={tmp_path / 'predicted'}",
        f"predictions_label_space={streets / 'space.csv'}",
        *data,
        *TRAINER,
    )
    (tmp_path / "predicted").mkdir()
    for path in (streets / "masks").iterdir():  # two of three pixels are right
        draws, mask = np.random.default_rng(int(path.stem)), np.array(Image.open(path))
        predicted = np.where(draws.random(mask.shape) < 2 / 3, mask, draws.choice([0, 1, 2, 255], mask.shape))
        Image.fromarray(predicted.astype(np.uint8)).save(tmp_path / "predicted" / path.name)
    plain, asked, crossed = (run_command("evaluate", *masks, *typed) for typed in ((), (ASKED,), (ASKED, walk)))
    assert (plain.code, asked.code, crossed.code) == (0, 0, 0), plain.err + asked.err + crossed.err
    names = np.load(asked.folder / "evaluation/test/per_sample.npz")["sample"]
    for path in (tmp_path / "predicted").iterdir():
        if f"images/{path.name}" not in names:
            path.unlink()
    pairs = list(masks_of(streets / "masks", tmp_path / "predicted"))
    assert len(pairs) == 2
    rows, by_size = slices(asked.folder)
    checked(rows, by_size, pairs)
    checked(*slices(crossed.folder), without_cars(pairs))
    assert slices(plain.folder) == (without_regions(rows), {})
    assert [(row["slice"], row["value"]) for row in rows if row["slice"] != "brightness"] == [
        ("all", "all"),
        ("image_size", "120x112"),
        *(("region_size", size) for size in ("small", "medium", "large")),
    ]
    same, as_before = (json.loads((each.folder / "evaluation/test/scores.json").read_text()) for each in (asked, plain))
    assert same | {"run": ""} == as_before | {"run": ""}


@pytest.mark.slow
def test_what_is_trained_here_as_a_run_as_weights_and_as_masks(run_command, streets, data, walk):
    answer = run_command("train", MODEL, "model.weights=none", *data, *TRAINER, "trainer.max_epochs=2", "optimizer.lr=0.003", ASKED,
                  "report.predictions=true", "report.train_eval=false")  # fmt: skip
    assert answer.code == 0, answer.err
    run, written = answer.folder, answer.folder / "evaluation/test/predictions/ids"
    rows, by_size = slices(run)
    pairs = list(masks_of(streets / "masks", written))
    assert 0 < float(rows[0]["accuracy"]) < 1
    checked(rows, by_size, pairs)
    table, scores = ((run / "evaluation/test" / name).read_bytes() for name in ("slices.csv", "scores.json"))

    config = run / "config.yaml"  # as an earlier version wrote it
    config.write_text(config.read_text().replace("  region_sizes: true\n", ""))
    assert run_command("evaluate", f"run={run}", "report.predictions=true").code == 0
    assert slices(run) == (without_regions(rows), {})
    assert (run / "evaluation/test/scores.json").read_bytes() == scores
    assert run_command("evaluate", f"run={run}", "report.predictions=true", ASKED).code == 0
    assert (run / "evaluation/test/slices.csv").read_bytes() == table

    space = streets / "space.csv"
    masks = (f"predictions={written}", f"predictions_label_space={space}")
    answer = run_command("evaluate", *masks, *data, *TRAINER, ASKED)
    assert (answer.folder / "evaluation/test/slices.csv").read_bytes() == table
    weights = (MODEL, f"model.weights={run / 'checkpoints/best.ckpt'}", f"model.label_space={space}")
    answer = run_command("evaluate", *weights, *data, *TRAINER, ASKED, walk)
    assert answer.code == 0, answer.err
    checked(*slices(answer.folder), without_cars(pairs))
    assert json.loads((answer.folder / "evaluation/test/scores.json").read_text())["crossing"]["no"] == ["car"]
