"""over=common: models of different label spaces, compared over the classes that all can express."""

import csv
import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from entry.common import merge_classes
from entry.errors import RequestError
from label_spaces.catalogue import load
from tests.compared import write_masks, write_run
from tests.entry.conftest import idd, scored

COMMON = ["everything else", "person + animal + rider", "car", "bus"]


@pytest.fixture
def runs(run_command, streets, tmp_path):
    """Evaluations of masks that are perfect in VOC's classes, and of spoilt ones in IDD's at level 3."""
    shutil.copytree(streets / "idd/masks", tmp_path / "spoilt")
    for path in sorted((tmp_path / "spoilt").iterdir())[::3]:
        mask = np.array(Image.open(path))
        mask[16:20] = load("idd_level3").classes.index("bus")  # where cars are
        Image.fromarray(mask).save(path)
    typed = {
        "voc": (*idd(streets), f"predictions={streets / 'voc/masks'}", "predictions_label_space=voc21"),
        "own": (*idd(streets), f"predictions={tmp_path / 'spoilt'}", "predictions_label_space=data"),
    }
    folders = {}
    for name, arguments in typed.items():
        answer = run_command(
            "evaluate", *arguments, "logger=csv", "report.html=false", f"hydra.run.dir={tmp_path / name}"
        )
        folders[name] = answer.folder.absolute(), scored(answer)
    return folders


def rows_of(folder):
    with (folder / "compare.csv").open(newline="", encoding="utf-8") as file:
        return {(row["first"], row["second"], row["score"], row["class"]): row for row in csv.DictReader(file)}


def test_scores_are_those_over_the_connected_components(run_command, runs):
    (voc, of_voc), (own, of_own) = runs["voc"], runs["own"]
    without = run_command("compare", f"runs=[{voc},{own}]")
    assert (
        "voc predicts in the classes of voc21, and what these cannot express counts as missed: over=common"
        in without.out
    )
    plain = rows_of(without.folder)
    assert float(plain["voc", "", "miou", ""]["value"]) == of_voc["miou"]
    answer = run_command("compare", f"runs=[{voc},{own}]", "over=common", "require=miou>=0.99")
    assert answer.code == 0, answer.err
    found = rows_of(answer.folder)
    assert float(found["voc", "", "miou", ""]["value"]) == of_voc["crossing"]["miou_common"]
    interval = of_voc["intervals"]["miou_common"]
    assert [float(found["voc", "", "miou", ""][key]) for key in ("low", "high")] == pytest.approx(interval, abs=1e-9)
    classes = {row[3]: float(each["value"]) for row, each in found.items() if row[2] == "iou" and each["value"]}
    assert {*classes} == {*COMMON}
    # Own masks are wrong where cars are taken for buses, in a third of the frames.
    own_classes = {row["name"]: row["iou"] for row in of_own["classes"]}
    for name in ("car", "bus"):
        assert classes[name] == pytest.approx(1 - own_classes[name])
    assert classes["everything else"] == classes["person + animal + rider"] == 0
    page = (answer.folder / "compare.html").read_text()
    assert "the finest that all models can express: everything else, " in page
    spoilt = [name for name in np.load(own / "evaluation/test/per_sample.npz")["sample"] if int(name[-6:-4]) % 3 == 0]
    assert page.count("data:image/webp") == 6 * len(spoilt) > 0


def test_classifiers_and_unrelated_truths_are_refused(tmp_path):
    with pytest.raises(RequestError, match=r"over=common merges the classes of masks, and .*a classifies"):
        merge_classes([write_run(tmp_path / "a", 0.9)], "test")
    runs = [write_masks(tmp_path / name, 0.9) for name in "bc"]
    for run, classes in zip(runs, (["x", "y", "z"], ["u", "v", "w"]), strict=True):
        space = {"name": classes[0], "classes": classes}
        (run / "label_space.json").write_text(json.dumps({"data": {}, "label_space": space}))
    with pytest.raises(RequestError, match="the truth is in u and in x, and there is no crosswalk between these"):
        merge_classes(runs, "val")


def test_truth_at_two_levels_is_compared_at_the_coarser_one(tmp_path):
    spaces = [load("idd_level3"), load("idd_level1")]
    runs = [write_masks(tmp_path / space.name, 0.9) for space in spaces]
    for run, space in zip(runs, spaces, strict=True):
        (run / "label_space.json").write_text(json.dumps({"data": {}, "label_space": asdict(space)}))
    fine, coarse = merge_classes(runs, "val")
    assert fine.space.classes == spaces[1].classes
    assert fine.truth == fine.predicted == [*spaces[0].levels["idd_level1"], 7]
    assert coarse.truth == coarse.predicted == list(range(8))
    assert fine.cells(np.array([3 * 27 + 26])) == [fine.truth[3] * 8 + 7]
