"""Predicted masks of external weights: in the data's own classes and files, also where nothing has truth."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from datamodules.files.masks import polygon_mask
from label_spaces.catalogue import load
from tests.chaos.harness import ROOT
from tests.test_predictions import QUICK, SIZE, SPACE, files, make_streets

# What VOC's classes are called at IDD's level 3, in the order of their numbers; None: it has no such class.
NAMES = (None, None, "bicycle", "person + animal", None, None, "bus", "car", "person + animal", None, "person + animal",
         None, "person + animal", "person + animal", "motorcycle", "person + animal", None, "person + animal", None,
         "vehicle fallback", None)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_streets(tmp_path_factory.mktemp("idd"))


def seen(root, split):
    """(N, 3, 32, 48) float32: a split's frames as torchvision's models want them, and their names `<drive>/<frame>`."""
    paths = sorted((root / "leftImg8bit" / split).glob("*/*.png"))
    paths = [path for path in paths if Image.open(path).size == SIZE[::-1]]
    images = np.stack([np.array(Image.open(path)) for path in paths])
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    names = [f"{path.parent.name}/{path.name.split('_')[0]}" for path in paths]
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / deviation, names


@pytest.fixture
def external(root, tmp_path):
    """torchvision's own network, which predicts many of VOC's 21 classes, and what is typed to evaluate it."""
    torch.manual_seed(0)
    network = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # after one batch its statistics are those of the frames
    images = torch.cat([seen(root, split)[0] for split in ("val", "test")])
    with torch.no_grad():
        network(images)
        network.eval()
        network.classifier[4].bias -= network(images)["out"].mean((0, 2, 3))
    torch.save(network.state_dict(), tmp_path / "external.pt")
    keys = (key for key in QUICK if not key.startswith(("model.weights", "trainer.max_epochs")))
    typed = (
        *keys,
        f"model.weights={tmp_path / 'external.pt'}",
        "model.label_space=voc21",
        "data=idd",
        f"data.root={root}",
    )
    return network, typed


@pytest.mark.parametrize("split", ["test", "val"])
def test_masks_of_external_weights_are_in_the_datas_classes(run_command, root, external, split):
    network, typed = external
    answer = run_command("evaluate", *typed, f"split={split}", "report.predictions=true")
    assert answer.code == 0, answer.err
    ids = np.array([255 if name is None else SPACE.classes.index(name) for name in NAMES])
    images, names = seen(root, split)
    with torch.no_grad():
        best = network(images)["out"].topk(2, 1)
    sure = (best.values[:, 0] - best.values[:, 1] > 1e-4).numpy()  # others may be rounded to either side
    assert sure.mean() > 0.99
    expected = ids[best.indices[:, 0].numpy()]
    assert len(np.unique(expected)) > 3
    assert (expected == 255).any()
    predictions = answer.folder / "evaluation" / split / "predictions"
    for name, mask, certain in zip(names, expected, sure, strict=True):
        path = f"{name}_gtFine_labellevel3Ids.png"
        np.testing.assert_array_equal(np.array(Image.open(predictions / "ids" / path))[certain], mask[certain])
        colours = np.array([*SPACE.colours, *[(0, 0, 0)] * 230], np.uint8)[mask[certain]]
        np.testing.assert_array_equal(np.array(Image.open(predictions / "colours" / path))[certain], colours)


def test_external_weights_without_truth_write_what_a_run_writes(run_command, root, external):
    run = run_command("train", *QUICK, "data=idd", f"data.root={root}")
    assert run_command("evaluate", f"run={run.folder}", "split=test").code == 0
    answer = run_command("evaluate", *external[1], "split=test")
    assert answer.code == 0, answer.err
    own, folder = run.folder / "evaluation/test", answer.folder / "evaluation/test"
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in own.iterdir())
    for kind in ("ids", "colours"):
        sizes = [
            {name: Image.open(place / "predictions" / kind / name).size for name in files(place / "predictions" / kind)}
            for place in (own, folder)
        ]
        assert len(sizes[0]) == 6
        assert sizes[0] == sizes[1]
    assert answer.out.splitlines()[-3:] == [
        f"predictions: {folder}/predictions",
        "test: no truth, so no scores; 6 of 6 frames are predicted",
        str(answer.folder),
    ]
    assert "test: 6 frames at 48×32, idd_level3" in answer.out
    scores, ours = (json.loads((place / "scores.json").read_text()) for place in (folder, own))
    different = ("run", "checkpoint", "crossing", "levels", "intervals")
    assert {key: value for key, value in scores.items() if key not in different} == {
        key: value for key, value in ours.items() if key not in different
    }
    assert scores["checkpoint"] == {"file": "external.pt", "epoch": None, "step": None}
    assert scores["intervals"].keys() > ours["intervals"].keys()
    assert set(scores["intervals"].values()) == {None}
    for crossing in (scores["crossing"], *(level["crossing"] for level in scores["levels"].values())):
        assert crossing["from"] == "voc21"
        assert crossing["instead"] == {}
        assert {crossing[f"miou_{name}"] for name in ("expressible", "closed", "common")} == {None}
    # Its split can be read as one, as any run's can.
    split = (answer.folder / "split.csv").read_text()
    assert split.count(",test") == 0
    assert run_command("evaluate", *external[1], f"data.split={answer.folder / 'split.csv'}", "split=val").code == 0


def test_frames_without_truth_that_cannot_be_read_are_refused_before_anything_is_written(
    run_command, root, external, tmp_path
):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "gtFine").symlink_to(root / "gtFine")
    shutil.copytree(root / "leftImg8bit", broken / "leftImg8bit")
    (broken / "leftImg8bit/test/60/0_leftImg8bit.png").write_text("no picture")
    typed = (*external[1], f"data.root={broken}", "split=test")
    answer = run_command("evaluate", *typed)
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert "1 of 6 test frames" in answer.err
    assert "60/0_leftImg8bit.png" in answer.err
    assert not (tmp_path / "runs").exists()
    answer = run_command("evaluate", *typed, "data.on_corrupt=skip")
    assert answer.out.splitlines()[-2] == "test: no truth, so no scores; 5 of 5 frames are predicted"
    skipped = json.loads((answer.folder / "environment.json").read_text())["skipped"]
    assert [each["sample"] for each in skipped] == ["leftImg8bit/test/60/0_leftImg8bit.png"]


def test_masks_cannot_be_scored_without_truth_and_the_message_names_splits_that_can(run_command, root, tmp_path):
    masks = tmp_path
    typed = (f"predictions={masks}", "predictions_label_space=idd_level3", "data=idd", f"data.root={root}")
    answer = run_command("evaluate", *typed, "split=test")
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert answer.err.strip() == (
        f"predictions={masks}: the 6 frames of test have no truth to score masks by. Give the masks of a split that has: "
        "split=val or split=train. Masks for a benchmark's server are sent to it as they are."
    )
    assert not (tmp_path / "runs").exists()


def test_masks_of_frames_of_several_sizes_are_scored_at_these_and_a_note_reports_it(run_command, root, tmp_path):
    space = load("idd_level3")
    for path in (root / "gtFine/val").rglob("*_polygons.json"):
        mask = np.array([*space.ids, 255], np.uint8)[polygon_mask(path, space)]
        (tmp_path / "masks" / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / path.parent.name / f"{path.name.split('_')[0]}.png")
    typed = (f"predictions={tmp_path / 'masks'}", "predictions_label_space=idd_level3", "data=idd", f"data.root={root}")
    pixels = {}
    for size in (None, [32, 48]):
        answer = run_command("evaluate", *typed, *(["data.eval_size=[32,48]"] if size else []), "data.num_workers=0")
        assert answer.code == 0, answer.err
        scores = json.loads((answer.folder / "evaluation/val/scores.json").read_text())
        with np.load(answer.folder / "evaluation/val/per_sample.npz") as facts:
            pixels[scores["policy"]["resolution"] is None] = int(facts["count"].sum())
        assert (scores["policy"]["resolution"], scores["miou"]) == (size, 1)
        assert ("val: 6 frames at their own sizes, idd_level3" in answer.out) == (size is None)
        assert ("val: 6 frames at 48×32, idd_level3" in answer.out) == (size is not None)
        assert ("48×40 (1); each is scored at its own, unless data.eval_size" in answer.out) == (size is None)
        assert "commonest" not in answer.out
    assert pixels == {True: (5 * 32 + 40) * 48, False: 6 * 32 * 48}  # one frame of val is taller


@pytest.mark.slow
def test_ranks_share_external_weights(external, tmp_path):
    found = {}
    for ranks, typed in ((1, []), (2, ["trainer=ddp_cpu", "trainer.devices=2"])):
        folder = tmp_path / f"on{ranks}"
        command = [sys.executable, "evaluate.py", *external[1], *typed, "trainer.threads=1", "split=test"]
        command += [f"hydra.run.dir={folder}", "data.eval_batch_size=2", "trainer.precision=32-true"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
        found[ranks] = files(folder / "evaluation/test/predictions")
        scores = json.loads((folder / "evaluation/test/scores.json").read_text())
        assert (scores["n_expected"], scores["n_seen"], scores["n_unique"]) == (6, 6, 6)
    assert len(found[1]) == 12
    assert found[1] == found[2]
