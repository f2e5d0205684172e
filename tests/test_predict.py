"""predict.py: a label and probabilities for each picture; what cannot be read is named and the rest is done."""

import csv
import json

import pytest
import torch

from tests.conftest import COLOURS, make_image_folder
from tests.test_train import QUICK


@pytest.fixture(scope="module")
def run(run_shared_command, image_folder):
    answer = run_shared_command(
        "train", "data=image_folder", f"data.root={image_folder}", *QUICK, "trainer.max_epochs=4"
    )
    assert answer.code == 0, answer.err
    return answer.folder


def rows(answer):
    with (answer.folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_folder_is_labelled_as_evaluation_labels_it(run_command, run, image_folder):
    answer = run_command("predict", f"run={run}", f"source={image_folder}")
    assert answer.code == 0, answer.err
    found = rows(answer)
    assert len(found) == 36
    assert list(found[0]) == ["file", "label", "probability", *sorted(COLOURS)]
    for row in found:
        probabilities = {name: float(row[name]) for name in COLOURS}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(probabilities, key=probabilities.__getitem__)
        assert float(row["probability"]) == probabilities[row["label"]]
    right = sum(row["label"] in row["file"] for row in found) / len(found)
    assert right > 0.8  # three plain colours
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


def test_one_picture(run_command, run, image_folder):
    answer = run_command("predict", f"run={run}", f"source={image_folder}/red/red_000.png")
    assert answer.code == 0, answer.err
    assert [row["file"] for row in rows(answer)] == [f"{image_folder}/red/red_000.png"]


def test_a_pattern_a_list_and_several_sources(run_command, run, image_folder, tmp_path):
    (tmp_path / "some.txt").write_text(f"{image_folder}/red/red_000.png\n{image_folder}/blue\n")
    for source, count in (
        (f"{image_folder}/red/*_00[0-4].png", 5),
        ("some.txt", 13),
        (f"[{image_folder}/red/red_001.png,some.txt,{image_folder}/red]", 24),
    ):
        quoted = source if source.startswith("[/") and "," in source else f'"{source}"'
        answer = run_command("predict", f"run={run}", f"source={quoted}")
        assert answer.code == 0, answer.err
        assert len({row["file"] for row in rows(answer)}) == len(rows(answer)) == count


def test_a_model_that_predicts_nan_has_no_labels(run_command, run, image_folder, tmp_path):
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"][next(reversed(content["state_dict"]))][0] = torch.nan
    torch.save(content, tmp_path / "broken.ckpt")
    folder = tmp_path / "out"
    answer = run_command("predict", f"run={run}", f"source={image_folder}/red/red_000.png", f"checkpoint={tmp_path / 'broken.ckpt'}",
                  f"hydra.run.dir={folder}")  # fmt: skip
    assert answer.code == 1
    assert f"The logits of {image_folder}/red/red_000.png are not finite" in answer.err
    assert "Traceback" not in answer.err
    assert not folder.exists()


def test_unreadable_ones_are_named_and_the_rest_is_done(run_command, run, tmp_path):
    folder = make_image_folder(tmp_path / "new", per_class=2)
    (folder / "red" / "broken.jpg").write_text("not a picture")
    answer = run_command("predict", f"run={run}", f"source={folder}")
    assert answer.code == 1
    assert "1 of 7 images" in answer.err
    assert "broken.jpg" in answer.err
    assert len(rows(answer)) == 6


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ([], "source is missing"),
        (["source=absent"], "absent: there is no such file or folder"),
        (["source=empty"], "no pictures in this folder"),
        (["source=[absent,empty]"], "absent: there is no such file or folder"),
        (["source=*.jpg"], "no picture matches this pattern"),
        (["source=pictures", "checkpoint=first"], "first: there is no"),
    ],
)
def test_wrong_requests(run_command, run, tmp_path, typed, message):
    (tmp_path / "empty").mkdir()
    make_image_folder(tmp_path / "pictures", per_class=1)
    answer = run_command("predict", f"run={run}", *typed)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.glob("runs/*/*_predict"))
