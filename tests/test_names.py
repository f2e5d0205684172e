"""Names that meet the project's own, as they are typed or lie on a disk: nothing is lost, and what is renamed is said."""

import csv
import json
import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_image_folder
from tests.test_segmentation import KEYS
from tests.test_train import QUICK

CLASSES = ("file", "label", "probability", "void", "truth", "[red]", "a\rb", "x, \"y\"\nz")  # fmt: skip
ONCE, TWICE = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    colours = {name: (30 * place, 250 - 30 * place, 10) for place, name in enumerate(CLASSES)}
    return make_image_folder(tmp_path_factory.mktemp("pictures") / "odd", classes=colours)


@pytest.fixture(scope="module")
def images(run_shared_command, pictures):
    answer = run_shared_command("train", "data=image_folder", f"data.root={pictures}", *QUICK, figures=True)
    assert answer.code == 0, answer.err
    return answer


@pytest.fixture(scope="module")
def masks(run_shared_command, mask_folder):
    answer = run_shared_command(
        "train", *KEYS, f"data.root={mask_folder}", "data.classes=[void,mask,file]", "trainer.max_epochs=1"
    )
    assert answer.code == 0, answer.err
    return answer


def test_classes_of_any_names_have_their_numbers(run_command, images):
    classes = sorted(CLASSES)
    header, *samples = rows(images.folder / "split.csv")
    assert header == ["sample", "group", "target", "split"]
    assert sorted({sample[2] for sample in samples}) == classes
    assert len(samples) == 12 * len(classes)
    assert "\n[red] " in images.out
    assert "note: A class is called void: read confusion.csv by place" in images.out
    test = images.folder / "evaluation/test"
    header, *lines = rows(test / "confusion.csv")
    assert header == ["truth", *classes, "void"]
    facts = np.load(test / "per_sample.npz")
    counted = np.zeros((len(classes) + 1,) * 2, int)
    target = {sample[0]: classes.index(sample[2]) for sample in samples}
    np.add.at(counted, ([target[name] for name in facts["sample"].tolist()], facts["prediction"]), 1)
    assert [[int(cell) for cell in line[1:]] for line in lines] == counted.tolist()
    before = (test / "scores.json").read_bytes()
    answer = run_command("evaluate", f"run={images.folder}")
    assert answer.code == 0, answer.err
    assert (test / "scores.json").read_bytes() == before


def test_predictions_have_the_columns_of_the_table_and_of_the_classes(run_command, images, pictures):
    answer = run_command("predict", f"run={images.folder}", f"source={pictures}")
    assert answer.code == 0, answer.err
    header, *lines = rows(answer.folder / "predictions.csv")
    classes = sorted(CLASSES)
    assert header[:3] == ["file", "label", "probability"]
    assert header[3:] == [f"{name} (class)" if name in header[:3] else name for name in classes]
    assert "the column of file is 'file (class)', of label is 'label (class)'" in answer.out
    assert len(lines) == 12 * len(classes)
    for file, label, probability, *each in lines:
        assert Path(file).is_file()
        assert sum(map(float, each)) == pytest.approx(1, abs=1e-5)
        assert float(each[classes.index(label)]) == max(map(float, each)) == float(probability)


def test_a_class_called_void_keeps_its_column(masks):
    test = masks.folder / "evaluation/test"
    header, *lines = rows(test / "confusion.csv")
    assert header == ["truth", "void", "mask", "file", "void"]
    scores = json.loads((test / "scores.json").read_text())
    support = [sum(map(int, line[1:])) for line in lines]
    assert support[:3] == [entry["support"] for entry in scores["classes"]]
    assert min(support[:3]) > 0
    assert [int(lines[place][place + 1]) / support[place] for place in range(3)] == pytest.approx(
        [entry["recall"] for entry in scores["classes"]]
    )


def test_each_image_has_a_mask_of_its_own(run_command, masks, mask_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("entry.prediction.font_of", lambda name: "" if name == "mask" else "a font")
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    names = [
        "a.jpg",
        "a.png",
        f"{ONCE}.png",
        f"{TWICE}.png",
        "A.png",
        "x" * 252 + ".bw",
        "deep/a.jpg",
        "plain.png",
        'with\nnewline, "quoted".png',
    ]
    for number, name in enumerate(names):
        Image.open(mask_folder / "images" / f"{number:02}.png").save(
            source / name, "PNG" if name[-3:] != ".bw" else "SGI"
        )
    (source / os.fsdecode(b"\xff.png")).write_bytes((source / "a.png").read_bytes())
    answer = run_command("predict", f"run={masks.folder}", f"source={source}")
    assert answer.code == 1
    assert "1 of 10 images could not be read" in answer.err
    assert r"\udcff.png: its name is not valid UTF-8; rename it" in answer.err
    header, *lines = rows(answer.folder / "predictions.csv")
    assert header == ["file", "void", "mask (class)", "file (class)", "mask"]
    assert "note: masks that are not called as their image is" in answer.out
    assert (
        "note: no installed font has the letters of some classes; legends call them class N, N being their number in masks/: mask."
        in answer.out
    )
    assert "the column of mask is 'mask (class)', of file is 'file (class)'" in answer.out
    assert sorted(line[0] for line in lines) == sorted(str(source / name) for name in names)
    assert len({line[-1].casefold() for line in lines}) == len(names)
    for file, *shares, mask in lines:
        pixels = np.array(Image.open(answer.folder / "masks" / mask))
        assert [float(share) for share in shares] == pytest.approx([(pixels == index).mean() for index in range(3)])
        overlay = np.array(Image.open(answer.folder / "overlays" / mask)).astype(int)
        picture = np.array(Image.open(file).convert("RGB")).astype(int)
        above = overlay[: picture.shape[0], : picture.shape[1]]  # of the legend
        assert (2 * above - picture).min() > -3  # half of the picture's own pixels, and half a colour
    assert {line[0]: line[-1] for line in lines}[str(source / "plain.png")] == "plain.png"


def test_folders_that_are_one_name_are_refused_and_similar_ones_noted(run_command, pictures, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(pictures / "void", root / ONCE)
    shutil.copytree(pictures / "file", root / TWICE)
    answer = run_command("train", "data=image_folder", f"data.root={root}", *QUICK)
    assert answer.code == 2
    assert r"('cafe\u0301' and 'caf\xe9'). Give such a class one name" in answer.err
    (root / TWICE).rename(root / f"{ONCE} ")
    answer = run_command(
        "train", "data=image_folder", f"data.root={root}", *QUICK, "trainer.max_epochs=1", "data.name='../a/b=c'"
    )
    assert answer.code == 0, answer.err
    assert "note: Classes whose names are easily confused: 'café' and 'café '." in answer.out
    assert answer.folder.parent.parent == tmp_path / "runs"
    assert answer.folder.name.endswith("_custom_cnn_..-a-b-c")


@pytest.mark.parametrize("name", ["x" * 300, "é" * 200])
def test_a_long_name_of_a_dataset_is_cut_in_that_of_the_folder(run_command, image_folder, name):
    answer = run_command(
        "train", "data=image_folder", f"data.root={image_folder}", *QUICK, "trainer.max_epochs=1", f"data.name='{name}'"
    )
    assert answer.code == 0, answer.err
    assert len(answer.folder.name.encode()) <= 255
    assert json.loads((answer.folder / "evaluation/test/scores.json").read_text())["label_space"] == name
