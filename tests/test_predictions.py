"""Predicted masks of an evaluation: what is counted is what is written, also by several ranks, and without truth too."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.files.masks import polygon_mask
from datamodules.idd import IDDDataModule
from label_spaces.catalogue import load
from settings.data import DataSettings
from tests.chaos.harness import ROOT
from tests.datamodules.conftest import STREET, polygons

SIZE, TALL = (32, 48), (40, 48)
SPACE = load("idd_level3")
QUICK = ("model=deeplabv3_mobilenet_v3_large", "model.weights=none", "trainer=cpu", "trainer.threads=1", "trainer.precision=32-true",
         "logger=csv", "data.num_workers=0", "data.image_size=[32,48]", "data.batch_size=4", "trainer.max_epochs=1")  # fmt: skip


def make_streets(root):
    """IDD's layout: 6 drives for training, 2 for val, 2 without truth; one frame of val and one of test are taller."""
    for split, drives in {"train": range(6), "val": (50, 51), "test": (60, 61)}.items():
        for drive in drives:
            for frame in range(3):
                draws = np.random.default_rng([drive, frame])
                size = TALL if (drive % 10, frame) == (0, 1) and split != "train" else SIZE
                image = root / f"leftImg8bit/{split}/{drive}/{frame}_leftImg8bit.png"
                truth = root / f"gtFine/{split}/{drive}/{frame}_gtFine_polygons.json"
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draws.integers(0, 256, (*size, 3), dtype=np.uint8)).save(image)
                if split != "test":
                    truth.parent.mkdir(parents=True, exist_ok=True)
                    moved = [
                        {**thing, "polygon": (np.array(thing["polygon"]) + draws.integers(0, 6)).tolist()}
                        for thing in STREET
                    ]
                    truth.write_text(polygons(moved, size))
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_streets(tmp_path_factory.mktemp("idd"))


@pytest.fixture(scope="module")
def run(run_shared_command, root):
    answer = run_shared_command("train", *QUICK, "data=idd", f"data.root={root}", "report.predictions=true")
    assert answer.code == 0, answer.err
    return answer


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run's folder, for what writes into it."""
    return Path(shutil.copytree(run.folder, tmp_path / run.folder.name))


def confusion(folder):
    with (folder / "confusion.csv").open() as file:
        return np.array([[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])


def counted_one_by_one(pairs, num_classes, void_id=255):
    """(C + 1, C + 1) counts of (truth, prediction) masks of ids: the plain loop."""
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for truth, prediction in pairs:
        assert truth.shape == prediction.shape
        for true, guess in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            matrix[num_classes if true == void_id else true, num_classes if guess == void_id else guess] += 1
    return matrix


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def test_what_is_written_is_what_was_counted(run, root):
    folder = run.folder / "evaluation/val"
    written = files(folder / "predictions/ids")
    assert sorted(written) == [f"{d}/{f}_gtFine_labellevel3Ids.png" for d in (50, 51) for f in range(3)]
    assert files(folder / "predictions/colours").keys() == written.keys()
    facts = np.load(folder / "per_sample.npz")
    total = np.zeros((27, 27), np.int64)
    for sample, start, end in zip(facts["sample"], facts["indptr"], facts["indptr"][1:], strict=False):
        drive, frame = sample.split("/")[2:]
        frame = frame.removesuffix("_leftImg8bit.png")
        mask = np.array(Image.open(folder / f"predictions/ids/{drive}/{frame}_gtFine_labellevel3Ids.png"))
        truth = polygon_mask(root / f"gtFine/val/{drive}/{frame}_gtFine_polygons.json", SPACE)
        assert mask.shape == truth.shape  # its own size, also where it was predicted at another
        assert mask.max() < 26
        matrix = np.zeros(27 * 27, np.int64)
        matrix[facts["cell"][start:end]] = facts["count"][start:end]
        if mask.shape == SIZE:
            assert counted_one_by_one([(truth, mask)], 26, void_id=26).tolist() == matrix.reshape(27, 27).tolist()
        total += matrix.reshape(27, 27)
    assert total.tolist() == confusion(folder).tolist()
    note = "1 of 6 frames of val are resized to be evaluated at 48×32: 48×40 (1); 1 of them are squashed"
    assert run.out.count(note) == 1
    assert f"predictions: {folder}/predictions" in run.out


def test_written_masks_can_be_read_as_truth(run, root, tmp_path):
    again = tmp_path / "again"
    (again / "gtFine").mkdir(parents=True)
    (again / "leftImg8bit").symlink_to(root / "leftImg8bit")
    (again / "gtFine/val").symlink_to(run.folder / "evaluation/val/predictions/ids")
    module = IDDDataModule(
        DataSettings(
            name="idd", root=str(again), split="official", split_by="group", label_space="idd_level3", masks="files",
            image_size=SIZE, cache_dir=str(tmp_path / "cache"), eval_batch_size=2,
        )
    )  # fmt: skip
    found = module.find()
    assert len(found) == 6
    for candidate in found:
        ids = np.array(Image.open(again / "gtFine/val" / module.prediction_file(candidate.name)))
        np.testing.assert_array_equal(module.read_mask(candidate.name), ids)


def test_without_truth_there_are_masks_and_no_scores(run_command, copy):
    answer = run_command("evaluate", f"run={copy}", "split=test", "report.predictions=false")
    assert answer.code == 0, answer.err
    folder = copy / "evaluation/test"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "predictions",
        "scores.json",
        "status.json",
    ]
    assert answer.out.splitlines()[-2] == "test: no truth, so no scores; 6 of 6 frames are predicted"
    scores = json.loads((folder / "scores.json").read_text())
    assert (scores["n_expected"], scores["n_seen"], scores["n_unique"]) == (6, 6, 6)
    for name in ("loss", "accuracy", "miou", "miou_present", "miou_image", "fwiou", "safe_miou", "void_rate"):
        assert scores[name] is None, name
    assert {value for entry in scores["classes"] for key, value in entry.items() if key != "name"} == {None, 0}
    sizes = {name: Image.open(folder / "predictions/ids" / name).size for name in files(folder / "predictions/ids")}
    expected = {f"{d}/{f}_gtFine_labellevel3Ids.png": SIZE[::-1] for d in (60, 61) for f in range(3)}
    assert sizes == {**expected, "60/1_gtFine_labellevel3Ids.png": TALL[::-1]}
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    # A finished run still prints the scores of the split that it reports.
    assert run_command("train", f"resume={copy}").out.splitlines()[-2].startswith("val: miou")


def test_masks_are_written_only_where_report_predictions_is_true(run_command, copy):
    before = files(copy / "evaluation/val/predictions")
    answer = run_command("evaluate", f"run={copy}", "report.predictions=false")
    assert answer.code == 0, answer.err
    assert not (copy / "evaluation/val/predictions").exists()
    config = copy / "config.yaml"  # as an earlier version wrote it
    config.write_text(config.read_text().replace("  predictions: true\n", ""))
    assert run_command("evaluate", f"run={copy}", "report.predictions=true").code == 0
    assert files(copy / "evaluation/val/predictions") == before


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["report.predictions=maybe"], "report.predictions=maybe: must be true or false"),
        (["model=custom_cnn", "data=synthetic_idd", "report.predictions=true"], "model=custom_cnn classifies"),
    ],
)
def test_wrong_requests(run_command, typed, message):
    answer = run_command("train", *typed)
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert message in answer.err


@pytest.mark.slow
def test_ranks_write_each_frame_once_and_the_same(run_command, copy):
    for split in ("val", "test"):
        command = [sys.executable, "evaluate.py", f"run={copy}", f"split={split}", "data.eval_batch_size=2"]
        found, pages = {}, {}
        for ranks, typed in (
            (1, ["trainer=cpu"]),
            (2, ["trainer=ddp_cpu", "trainer.devices=2"]),
            (4, ["trainer=ddp_cpu", "trainer.devices=4"]),
        ):
            given = [*typed, "trainer.threads=1", "trainer.precision=32-true"]
            subprocess.run([*command, *given], cwd=ROOT, check=True, capture_output=True, timeout=300)
            found[ranks] = files(copy / "evaluation" / split / "predictions")
            page = (copy / "evaluation" / split / "report.html").read_text()
            pages[ranks] = re.findall(r'src="(data:[^"]+)"', page), re.findall(r'<section id="classes">.*<section id="data">', page, re.DOTALL)  # fmt: skip
            scores = json.loads((copy / "evaluation" / split / "scores.json").read_text())
            assert (scores["n_seen"], scores["n_unique"]) == (6, 6)
            calibration = copy / "evaluation" / split / "calibration.csv"
            assert calibration.exists() == (scores["accuracy"] is not None)
            found[ranks]["calibration"] = calibration.read_bytes() if calibration.exists() else b""
        assert len(found[1]) == 13
        assert found[1] == found[2] == found[4]
        assert pages[1] == pages[2] == pages[4]
        assert bool(pages[1][1]) == (split == "val")  # test has no truth
    assert not [path for path in copy.rglob(".*") if path.name != ".hydra"]


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
def test_the_genuine_frames(run_command):
    root = Path(os.environ["REAL_DATA"]) / "idd20k_lite"
    keys = [key for key in QUICK if not key.startswith("data.image_size")]
    answer = run_command(
        "train", *keys, "data=idd_lite", f"data.root={root}", "trainer.limit_batches=2", "data.cache=false"
    )
    assert answer.code == 0, answer.err
    answer = run_command("evaluate", f"run={answer.folder}", "trainer.limit_batches=null", "report.predictions=true")
    assert answer.code == 0, answer.err
    folder = answer.folder / "evaluation/val"
    pairs = []
    for truth in sorted((root / "gtFine/val").glob("*/*_label.png")):
        if not truth.name.endswith("_inst_label.png"):
            prediction = folder / "predictions/ids" / truth.relative_to(root / "gtFine/val")
            pairs.append(tuple(np.array(Image.open(path)) for path in (truth, prediction)))
    assert len(pairs) == 109
    assert counted_one_by_one(pairs, 7).tolist() == confusion(folder).tolist()
    assert run_command("evaluate", f"run={answer.folder}", "split=test", "trainer.limit_batches=null").code == 0
    images = {
        path.relative_to(root / "leftImg8bit/test").as_posix() for path in (root / "leftImg8bit/test").glob("*/*.jpg")
    }
    assert {
        name.replace("_label.png", "_image.jpg") for name in files(answer.folder / "evaluation/test/predictions/ids")
    } == images
