"""docs/OWN_DATA.md, and prediction in docs/RUN_FOLDER.md: the commands on images are typed, on tiny data of the names that stand there."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_image_folder

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUICK = ("trainer.max_epochs=1", "trainer.threads=1", "trainer=cpu", "logger=csv", "data.image_size=[16,16]", "data.num_workers=0")  # fmt: skip
TWO = {"a": (200, 40, 40), "b": (40, 40, 200)}


def commands(page: str, heading: str) -> list[list[str]]:
    """The words of each command in a section, without the interpreter."""
    section = (DOCS / page).read_text(encoding="utf-8").split(f"# {heading}\n")[1].split("\n#")[0]
    lines = [line for block in BLOCK.findall(section) for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("python ")]


@pytest.fixture
def data(tmp_path):
    """Folders of the page's names in the working directory."""
    photos = make_image_folder(tmp_path / "photos", per_class=20, classes={"cat": TWO["a"], "dog": TWO["b"]})
    rows = [f"{path.relative_to(photos)},{('train', 'val', 'test')[number % 3]}" for number, path in enumerate(photos.rglob("*.png"))]  # fmt: skip
    (tmp_path / "my.csv").write_text("\n".join(["sample,split", *rows]))
    make_image_folder(tmp_path / "new", per_class=2)
    pets = tmp_path / "pets"
    (pets / "images").mkdir(parents=True)
    table = ["image,breed,split"]
    for number in range(40):
        colour = list(TWO.values())[number % 2]
        Image.fromarray(np.full((16, 16, 3), colour, np.uint8) + np.uint8(number)).save(
            pets / f"images/{number:04}.jpg"
        )
        table.append(f"{number:04},{('beagle', 'pug')[number % 2]},{('train', 'val', 'test')[number % 5 // 2]}")
    (pets / "labels.csv").write_text("\n".join(table))
    return tmp_path


def ready(folder, **counts):
    for split, count in counts.items():
        make_image_folder(folder / split, per_class=count, classes=TWO)


def scores(answer):
    [path] = (answer.folder / "evaluation").glob("*/scores.json")
    return json.loads(path.read_text())


def check(run_command, words, *further):
    answer = run_command(words[0].removesuffix(".py"), *words[1:], *further)
    assert answer.code == 0, answer.err
    return answer


@pytest.mark.slow
def test_a_folder_per_class(run_command, data):
    *trainings, prediction = commands("OWN_DATA.md", "Images, a folder per class")
    assert len(trainings) == 5
    for words in trainings:
        answer = check(run_command, words, *QUICK)
        assert [each["name"] for each in scores(answer)["classes"]] == ["cat", "dog"]
    words = [word.replace("RUN_FOLDER", str(answer.folder)) for word in prediction]
    assert len((check(run_command, words).folder / "predictions.csv").read_text().splitlines()) == 1 + 6


def test_ready_splits(run_command, data):
    shutil.rmtree(data / "photos")
    ready(data / "photos", train=10, val=2, test=3)
    ready(data / "birds", Training=20, Testing=3)
    ready(data / "flowers", train=20, val=3)
    ready(data / "folds", fold1=10, fold2=10, fold3=3)
    found = [scores(check(run_command, words, *QUICK)) for words in commands("OWN_DATA.md", "Ready splits")]
    assert [(each["split"], each["n_seen"]) for each in found] == [("test", 6), ("test", 6), ("val", 6), ("test", 6)]


def test_a_flat_folder_and_a_table(run_command, data):
    found = [
        scores(check(run_command, words, *QUICK)) for words in commands("OWN_DATA.md", "A flat folder and a table")
    ]
    assert [each["n_seen"] for each in found] == [8, 8, 8]
    assert [each["name"] for each in found[0]["classes"]] == ["beagle", "pug"]


@pytest.mark.slow
def test_prediction_of_any_source(run_command, data):
    run = check(run_command, ["train.py", "data=image_folder", "data.root=photos"], *QUICK).folder
    (data / "drive").mkdir()
    for path in (data / "new").rglob("*.png"):
        Image.open(path).save(data / "drive" / f"{path.stem}.jpg")
    Image.open(next((data / "photos/cat").iterdir())).save(data / "photo.jpg")
    (data / "list.txt").write_text("photo.jpg\ndrive\n")
    drive, photos = (sum(path.is_file() for path in (data / name).rglob("*")) for name in ("drive", "photos"))
    counts = {"photo.jpg": 1, "photos": photos, '"drive/*.jpg"': drive, "list.txt": 1 + drive}
    typed = [words for words in commands("PREDICTING.md", "Predicting") if not words[2].endswith((".mp4", ".mp4]"))]
    assert {words[2].removeprefix("source=") for words in typed} == {*counts}
    for words in typed:
        answer = check(run_command, [word.replace("RUN_FOLDER", str(run)) for word in words])
        count = counts[words[2].removeprefix("source=")]
        assert len((answer.folder / "predictions.csv").read_text().splitlines()) == 1 + count
