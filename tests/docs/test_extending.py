"""docs/EXTENDING.md: its files are written outside the repository, and its commands typed, as a reader would do it."""

import csv
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metrics.scores import SCORES
from tests.conftest import Answer, make_image_folder, make_mask_folder

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/EXTENDING.md").read_text(encoding="utf-8")
FILE = re.compile(r"^`(mine/[^`]+)`:\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # of commands: without a language, and no file's
QUICK = ("trainer.max_epochs=1", "trainer.threads=1", "trainer=cpu", "logger=csv", "data.image_size=[32,32]", "data.num_workers=0", "data.batch_size=5")  # fmt: skip
MOST_LINES = 40


def files_of_page() -> dict[str, str]:
    return dict(FILE.findall(PAGE))


def commands(heading: str) -> list[list[str]]:
    """The words of each command in a section, without the interpreter."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for block in BLOCK.findall(section) for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("python ")]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files in a working directory of their own, importable, with tiny data; all is forgotten afterwards."""
    for name, text in files_of_page().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    make_image_folder(tmp_path / "images")
    photos = sorted(path.relative_to(tmp_path / "images") for path in (tmp_path / "images").rglob("*.png"))
    rows = [f"{photo},{photo.parent},camera{number % 12}" for number, photo in enumerate(photos)]
    (tmp_path / "images/labels.csv").write_text("\n".join(["file,class,camera", *rows, ""]))
    (tmp_path / "images").rename(tmp_path / "photos")
    streets = make_mask_folder(tmp_path / "lanes")
    (streets / "masks").rename(streets / "lanes")
    (streets / "frames").mkdir()
    for image in sorted((streets / "images").iterdir()):
        Image.open(image).save(streets / "frames" / f"{image.stem}.jpg")
        mask = np.array(Image.open(streets / "lanes" / image.name))
        Image.fromarray(np.where(mask == 255, 255, mask == 1).astype(np.uint8)).save(streets / "lanes" / image.name)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    before = dict(SCORES)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "roadkit"]:
        del sys.modules[name]
    for name in SCORES.keys() - before.keys():
        del SCORES[name]
    importlib.invalidate_caches()


@pytest.fixture
def typed(run_command: Callable[..., Answer], mine: Path) -> Callable[..., Answer]:
    """Type a command of the page, with keys after it that make it small; a dataset that it does not name is tiny too."""

    def call(words: list[str], *further: str) -> Answer:
        name, *given = words
        small = [*QUICK, *further] if name == "train.py" else []
        if name == "train.py" and not any(word.startswith("data=") for word in given):
            small += ["data=image_folder", "data.root=photos"]
        return run_command(name.removesuffix(".py"), *given, *small)

    return call


def scores_of(folder: Path, split: str = "test") -> dict:
    return json.loads((folder / "evaluation" / split / "scores.json").read_text())


def history_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_dataset_is_short():
    files = files_of_page()
    for names in (
        ("mine/roadkit/photos.py", "mine/conf/data/photos.yaml"),
        ("mine/roadkit/lanes.py", "mine/conf/data/lanes.yaml", "mine/lanes.csv"),
    ):
        assert sum(len(files[name].splitlines()) for name in names) <= MOST_LINES


def test_images_whose_classes_stand_in_a_file(typed, mine):
    photos, _ = commands("A dataset")
    answer = typed(photos)
    assert answer.code == 0, answer.err
    assert [each["name"] for each in scores_of(answer.folder)["classes"]] == ["blue", "green", "red"]
    with (answer.folder / "split.csv").open() as file:
        split_of = [(row["group"], row["split"]) for row in csv.DictReader(file)]
    assert len(split_of) == 36
    assert len(set(split_of)) == 12  # each camera is in one split
    refused = typed(photos, "+data.options.gap=3")
    assert (refused.code, refused.err) == (2, "data.options.gap: Photos has no such setting. Those it has: labels.\n")


@pytest.mark.slow
def test_masks_with_a_label_space_of_their_own(typed, mine):
    _, lanes = commands("A dataset")
    answer = typed(lanes, "model.weights=none", "data.eval_batch_size=4", "report.predictions=true")
    assert answer.code == 0, answer.err
    scores = scores_of(answer.folder)
    assert ([each["name"] for each in scores["classes"]], scores["label_space"]) == (["background", "lane"], "lanes")
    predicted = sorted((answer.folder / "evaluation/test/predictions/ids").rglob("*.png"))
    assert len(predicted) == scores["n_seen"]


def test_a_label_space_is_found_by_being_there(mine, monkeypatch):
    from label_spaces import catalogue

    shutil.copytree(catalogue.FOLDER, mine / "label_spaces")
    shutil.copy(mine / "mine/lanes.csv", mine / "label_spaces/tables/lanes.csv")
    monkeypatch.setattr(catalogue, "FOLDER", mine / "label_spaces")
    assert "lanes" in catalogue.names()
    assert catalogue.load("lanes").classes == ("background", "lane")


def test_a_model_of_torchvision(typed):
    torchvision, *_ = commands("A model")
    answer = typed(torchvision, "model.weights=none")
    assert answer.code == 0, answer.err
    assert answer.folder.name.endswith("_mobilenet_image_folder")


def test_a_network_of_a_package_and_its_evaluation(typed):
    _, train, evaluate, refused = commands("A model")
    answer = typed(train)
    assert answer.code == 0, answer.err
    answer = typed(evaluate)
    assert answer.code == 0, answer.err
    assert scores_of(answer.folder, "val")["n_seen"] > 0
    answer = typed(refused)
    assert answer.code == 2
    assert answer.err.startswith("model.network._target_=roadkit.networks.strided is not built: ")
    assert "allow=[…]" in answer.err
    assert typed(["train.py", "resume=runs/strided"]).code == 2


def test_a_loss_with_parameters(typed):
    group, by_key, of_torch, refused = commands("A loss")
    losses = []
    for words in (group, by_key, of_torch):
        answer = typed(words)
        assert answer.code == 0, answer.err
        losses.append(history_of(answer.folder)[0]["train/loss"])
    assert losses[0] == losses[1] != losses[2]
    answer = typed(refused)
    assert (answer.code, answer.err) == (2, "loss.epsilon=high: must be a number.\n")
    answer = typed(group, "+loss.alpha=1")
    assert (answer.code, answer.err) == (2, "loss.alpha: Poly1 has no such setting. Those it has: epsilon.\n")
    answer = typed(group, "loss.epsilon=-2")
    assert (answer.code, "epsilon must be at least -1, not -2" in answer.err) == (2, True)


def test_a_callback(typed):
    group, by_key, of_lightning = commands("A callback")
    for words in (group, by_key):
        answer = typed(words)
        assert answer.code == 0, answer.err
        assert answer.err.count("weight norm ") == 1
    assert typed(of_lightning).code == 0


def test_a_score_of_the_matrix(typed):
    train, evaluate = commands("A score")
    answer = typed(train)
    assert answer.code == 0, answer.err
    assert -1 <= scores_of(answer.folder)["kappa"] <= 1
    assert -1 <= float(history_of(answer.folder)[0]["val/kappa"]) <= 1
    with (answer.folder / "evaluation/test/slices.csv").open() as file:
        assert "kappa" in next(csv.reader(file))
    answer = typed(evaluate)
    assert answer.code == 0, answer.err
    scores = scores_of(answer.folder, "val")
    table = np.loadtxt(answer.folder / "evaluation/val/confusion.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3))[:3]
    chance = (table.sum(0) * table.sum(1)).sum() / table.sum() ** 2
    assert scores["kappa"] == pytest.approx((scores["accuracy"] - chance) / (1 - chance))


def test_an_augmentation(typed):
    (dusk,) = commands("An augmentation")
    answer = typed(dusk)
    assert answer.code == 0, answer.err
    assert "RandomBrightnessContrast" in (answer.folder / "config.yaml").read_text()


@pytest.mark.slow
def test_two_ranks_of_a_new_process_import_the_package(mine):
    _, train, *_ = commands("A model")
    name, *words = [word for word in train if not word.startswith("hydra.run.dir")]
    typed = [
        *words,
        *QUICK,
        "trainer=ddp_cpu",
        "data.batch_size=6",
        "data=image_folder",
        "data.root=photos",
        "loss=poly1",
        "callbacks=norm",
    ]
    line = next(line for line in PAGE.splitlines() if line.startswith("export "))
    shell = f"{line}; exec {shlex.join([sys.executable, str(ROOT / name), *typed])}"
    done = subprocess.run(
        ["bash", "-c", shell],
        cwd=mine,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("weight norm ") == 1
    assert "kappa" in scores_of(Path(done.stdout.splitlines()[-1]))
