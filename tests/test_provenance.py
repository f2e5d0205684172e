"""What a run was made with is in its folder and used again; what is no longer so is named."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from entry.builders.crosswalk import SPACE
from label_spaces import catalogue, crosswalk
from tests.conftest import make_mask_folder
from tests.test_segmentation import KEYS

TABLE = "name,id,red,green,blue,void\nsky,0,10,20,30,no\nroad,1,40,50,60,no\ncar,2,70,80,90,no\nnone,255,0,0,0,yes\n"
SWAPPED = TABLE.replace("sky,0", "sky,9").replace("road,1", "road,0").replace("sky,9", "sky,1")
TYPED = [key for key in KEYS if not key.startswith(("data.classes", "trainer.max_epochs"))]


@pytest.fixture(scope="module")
def trained(run_shared_command, workplace):
    make_mask_folder(workplace / "streets")
    (workplace / "mine.csv").write_text(TABLE)
    answer = run_shared_command(
        "train",
        *TYPED,
        "data.root=streets",
        "data.label_space=mine.csv",
        "trainer.max_epochs=1",
        "data.eval_batch_size=4",
    )
    assert answer.code == 0, answer.err
    return answer.folder


@pytest.fixture
def run(trained, workplace, tmp_path):
    """A copy of the run; its data and its table stay where they were, as they were."""
    yield Path(shutil.copytree(trained, tmp_path / trained.name))
    (workplace / "mine.csv").write_text(TABLE)
    shutil.rmtree(workplace / "streets")
    make_mask_folder(workplace / "streets")


def scores(folder):
    return json.loads((folder / "evaluation/test/scores.json").read_text())


def test_the_folder_holds_the_label_space_and_hashes_of_all_files(run, workplace):
    kept = json.loads((run / "label_space.json").read_text())
    assert SPACE.validate_python(kept["label_space"]) == catalogue.load(str(workplace / "mine.csv"))
    assert kept["data"] == {"label_space": str(workplace / "mine.csv"), "classes": None, "void_ids": None}
    with (run / "files.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    for row in rows:
        for kind, column in (("images", "image"), ("masks", "truth")):
            content = (workplace / "streets" / kind / Path(row["sample"]).name).read_bytes()
            assert row[column] == hashlib.blake2b(content, digest_size=16).hexdigest()


@pytest.mark.parametrize("text", [SWAPPED, None, "name,id\nonly,0\n"])
def test_a_table_that_was_edited_changes_no_score(run_command, run, workplace, text):
    before = scores(run)
    (workplace / "mine.csv").unlink() if text is None else (workplace / "mine.csv").write_text(text)
    answer = run_command("evaluate", f"run={run}")
    assert answer.code == 0, answer.err
    assert scores(run) == before
    (note,) = [line for line in answer.out.splitlines() if "label_space.json" in line]
    assert note.startswith(f"note: data.label_space={workplace / 'mine.csv'} ")
    if text is None:
        assert "can no longer be read" in note
    else:
        assert "is not what the run was made with: its" in note
    if text == SWAPPED:
        assert "(sky had the id 0, now 1)" in note


def test_a_table_that_is_as_it_was_is_not_mentioned(run_command, run):
    answer = run_command("evaluate", f"run={run}")
    assert (answer.code, "label_space.json" in answer.out, "other files" in answer.out) == (0, False, False)


def test_another_table_that_is_typed_is_used(run_command, run, workplace, tmp_path):
    (tmp_path / "other.csv").write_text(SWAPPED)
    before = scores(run)
    answer = run_command("evaluate", f"run={run}", f"data.label_space={tmp_path / 'other.csv'}")
    assert answer.code == 0, answer.err
    after = scores(run)
    assert after["label_space"] == "other"
    support = [[entry["support"] for entry in each["classes"]] for each in (before, after)]
    assert support[1] == [support[0][1], support[0][0], support[0][2]]


def test_a_file_that_was_changed_is_named(run_command, run, workplace):
    names = np.load(run / "evaluation/test/per_sample.npz")["sample"]
    name = Path(str(names[0])).name
    mask = workplace / "streets/masks" / name
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(mask)
    answer = run_command("evaluate", f"run={run}")
    assert answer.code == 0, answer.err
    assert f"note: 1 samples have other files than when the run was made: images/{name} (truth)." in answer.out


@pytest.mark.slow
def test_resuming_with_other_classes_is_refused_until_it_is_typed(run_command, run, workplace):
    (workplace / "mine.csv").write_text(TABLE.replace("car", "lorry"))
    answer = run_command("train", f"resume={run}", "trainer.max_epochs=2")
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert "is not what the run was made with: its classes" in answer.err
    assert "type resume_with_changes=true to go on with the run's own" in answer.err
    answer = run_command("train", f"resume={run}", "trainer.max_epochs=2", "resume_with_changes=true")
    assert answer.code == 0, answer.err
    assert [entry["name"] for entry in scores(run)["classes"]] == ["sky", "road", "car"]
    (workplace / "mine.csv").write_text(SWAPPED)
    answer = run_command("train", f"resume={run}", "trainer.max_epochs=3")
    assert answer.code == 0, answer.err
    assert "its ids differ (sky had the id 0, now 1)" in answer.out


def test_predictions_are_painted_in_the_runs_own_colours(run_command, run, workplace):
    (workplace / "mine.csv").unlink()
    answer = run_command("predict", f"run={run}", f"source={workplace / 'streets/images/00.png'}")
    assert answer.code == 0, answer.err
    palette = Image.open(answer.folder / "masks/00.png").getpalette()
    assert palette[:9] == [10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_a_damaged_label_space_is_named(run_command, run):
    for text in ("{", "[]", '{"data": {}}', json.dumps({"data": None, "label_space": {}})):
        (run / "label_space.json").write_text(text)
        answer = run_command("evaluate", f"run={run}")
        assert (answer.code, "Traceback" in answer.err) == (2, False), answer.err
        assert "label_space.json is damaged" in answer.err


def test_an_external_evaluation_keeps_both_label_spaces_and_the_crosswalk(run_command, tmp_path):
    level3, city = catalogue.load("idd_level3"), catalogue.load("cityscapes_labels")
    make_mask_folder(tmp_path / "streets", count=10)
    (tmp_path / "masks").mkdir()
    road = city.ids[city.classes.index("road")]
    for number in range(10):
        Image.fromarray(np.full((32, 48), road, np.uint8)).save(tmp_path / f"masks/{number:02}.png")
    typed = (
        "data=mask_folder",
        "data.root=streets",
        "data.label_space=idd_level3",
        "data.num_workers=0",
        "logger=csv",
        "predictions=masks",
    )
    answer = run_command("evaluate", *typed, "predictions_label_space=cityscapes_labels", "trainer=cpu")
    assert answer.code == 0, answer.err
    kept = json.loads((answer.folder / "predicted_label_space.json").read_text())
    assert SPACE.validate_python(kept["label_space"]) == city
    assert crosswalk.read(answer.folder / "crosswalk.csv", city, level3) == crosswalk.find(city, level3)
    assert SPACE.validate_python(json.loads((answer.folder / "label_space.json").read_text())["label_space"]) == level3
    assert scores(answer.folder)["classes"][0]["predicted"] > 0
