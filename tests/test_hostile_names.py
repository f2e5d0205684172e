"""Classes of a CSV whose names are paths, control characters or very long, from the training to the prediction."""

import csv

import pytest

from run_files import read_json
from run_folder import csv_text
from tests.test_segmentation import KEYS

CLASSES = ("..", "../../x\x1b[31m", "é" * 150)  # 300 bytes


@pytest.mark.slow
def test_classes_of_hostile_names_stay_in_the_run_folder(run_command, mask_folder, tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text(
        csv_text(
            [
                ("name", "id"),
                *((name, number) for number, name in enumerate(CLASSES)),
            ]
        ),
        encoding="utf-8",
    )
    keys = [key for key in KEYS if not key.startswith("data.classes")]
    command = (
        *keys,
        f"data.root={mask_folder}",
        f"data.label_space={table}",
        "data.void_ids=[255]",
        "trainer.max_epochs=1",
    )
    answer = run_command("train", *command, f"hydra.run.dir={tmp_path / 'place/run'}", figures=True)
    assert answer.code == 0, answer.err
    assert "\x1b" not in answer.out + answer.err
    scores = read_json(answer.folder / "evaluation/test/scores.json")
    assert [each["name"] for each in scores["classes"]] == list(CLASSES)
    with (answer.folder / "evaluation/test/confusion.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["truth", *CLASSES, "void"]
    page = (answer.folder / "evaluation/test/report.html").read_text(encoding="utf-8")
    assert CLASSES[2] in page
    predicted = run_command(
        "predict",
        f"run={answer.folder}",
        f"source={mask_folder / 'images'}",
        f"hydra.run.dir={tmp_path / 'place/predicted'}",
    )
    assert predicted.code == 0, predicted.err
    assert "\x1b" not in predicted.out + predicted.err
    assert {path.name for path in tmp_path.iterdir()} <= {"classes.csv", "place", "cache", "runs"}
    assert {path.name for path in (tmp_path / "place").iterdir()} == {"run", "predicted"}
