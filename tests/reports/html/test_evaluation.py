"""The page of an evaluation: its numbers are those of the files beside it."""

import csv
import json
import re

import numpy as np
import pytest

from metrics.fit import verdict_on_fit
from reports.html.evaluation import Gallery, context, write_report
from reports.html.files import read_files
from reports.html.pictures import Picture
from run_folder import write_csv, write_table
from tests.reports.html.conftest import AWKWARD, Page, classified, write_run

NOTHING = Gallery()


def page_of(files, score="f1_macro", gallery=NOTHING):
    write_report(files.folder, files.run, score, gallery)
    return Page((files.folder / "report.html").read_text())


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(params=["images", "masks"])
def files(request):
    return request.getfixturevalue(request.param)


def test_every_number_of_the_class_table_is_that_of_per_class_csv(files):
    table = page_of(files).tables["class-table"]
    header, *expected = rows(files.folder / "per_class.csv")
    columns = {"IoU": "iou", "precision": "precision", "recall": "recall", "F1": "f1", "predicted": "predicted"}
    places = {name: table[0].index(text) for text, name in columns.items()}
    shown = table[1 : 1 + len(expected)]
    for name, place in places.items():
        assert [row[place] for row in shown] == [row[header.index(name)] for row in expected]
    support = "images with it" if files.unit == "images" else "true pixels"
    assert [row[table[0].index(support)] for row in shown] == [row[header.index("support")] for row in expected]
    assert [row[0].split(" 1 ")[0].split(" 2 ")[0] for row in shown] == [row[0] for row in expected]
    scores = json.loads((files.folder / "scores.json").read_text())
    mean = table[1 + len(expected)]
    means = {"iou": "miou", "precision": "precision_macro", "recall": "recall_macro", "f1": "f1_macro"}
    assert {key: float(mean[places[name]]) for name, key in means.items()} == {
        key: scores[key] for key in means.values()
    }


def test_the_headline_is_that_of_scores_json(files):
    page, scores = page_of(files), files.scores
    shown = {tag["data-score"]: float(tag["data-value"]) for _, tag in page.tags if "data-score" in tag}
    assert set(shown) == {"accuracy", *(("f1_macro", "f1_weighted") if files.unit == "images" else ("miou", "fwiou"))}
    for name, value in shown.items():
        assert value == scores[name]
        assert f"{value:.3f} [{scores['intervals'][name][0]:.3f}, {scores['intervals'][name][1]:.3f}]" in page.text
    for values in scores["baselines"].values():
        assert all(f"{values[name]:.3f}" in page.text for name in shown)


def test_the_matrix_is_confusion_csv(files):
    write_report(files.folder, files.run, "miou", NOTHING)
    text = (files.folder / "report.html").read_text()
    data = json.loads(re.search(r'id="matrix-data">(.*?)</script>', text, re.DOTALL).group(1))
    _, *lines = rows(files.folder / "confusion.csv")
    expected = {(i, j): int(n) for i, line in enumerate(lines[:-1]) for j, n in enumerate(line[1:]) if n != "0"}
    assert {(row, column): count for row, column, count in data["cells"]} == expected
    assert data["names"][: data["rows"]] == files.names
    assert data["support"] == [sum(map(int, line[1:])) for line in lines[:-1]]


def test_counts_of_classes_are_those_of_the_file(images):
    table = page_of(images).tables["class-counts"]
    assert [[row[0], row[1], row[3]] for row in table[1:]] == rows(images.folder / "class_counts.csv")[1:]


def test_a_class_that_is_called_as_a_script_is_shown(images):
    text = page_of(images).text
    assert AWKWARD in text
    tags = [tag for tag, _ in Page((images.folder / "report.html").read_text()).tags if tag == "script"]
    assert len(tags) == 2  # the page's own, and the data of the matrix
    assert f"Below it: {AWKWARD}" in text or f", {AWKWARD}" in text
    assert "c/9: cannot be <read>" in text
    assert "Mind & this." in text


def test_the_page_answers_what_was_evaluated(images, masks):
    text = page_of(masks, "miou").text
    for fact in (
        "3 of 3 frames of val, each once", "a prediction of no class (void) is a miss (3 % of pixels)", "5 × 2 pixels", "mirror images", "best.ckpt, epoch 2, after 8 steps",
        "2026-01-02T03:04:05+00:00", "def456 (this evaluation), abc123 (training)", "50 % of the pixels of car are taken for road: 4 pixels, 57 % of all errors", "Best epoch: 2 of 3", "At or above the mean F1 (0.704): road",
        "Neither true nor predicted, and in no mean: boat", "No drive is in more than one split",
    ):  # fmt: skip
        assert fact in " ".join(text.split()), fact


@pytest.mark.parametrize(
    ("looks", "text"),
    [
        ({"flip": False, "scales": [1.0], "window": None}, "none"),
        ({"flip": False, "scales": [1.41], "window": None}, "scales 1.41"),
        ({"flip": True, "scales": [0.5, 1.0], "window": [4, 6]}, "mirror images; scales 0.5, 1.0; windows of 6 × 4"),
    ],
)
def test_views_of_an_image_are_listed(masks, looks, text):
    masks.scores["policy"]["looks"] = looks
    (masks.folder / "scores.json").write_text(json.dumps(masks.scores))
    page = page_of(read_files(masks.folder, masks.run), "miou").text
    assert re.search(rf"Test-time augmentation\s*{re.escape(text)}\s*Label space", page)


def test_the_page_of_an_evaluation_without_truth(masks):
    for name in ("confusion.csv", "per_class.csv", "slices.csv", "per_sample.npz", "class_counts.csv"):
        (masks.folder / name).unlink()
    nothing = {name: None for name, value in masks.scores.items() if isinstance(value, float)}
    (masks.folder / "scores.json").write_text(
        json.dumps({**masks.scores, **nothing, "intervals": None, "baselines": {}})
    )
    assert "No truth, so no scores: the 3 frames of val are predicted only." in page_of(masks, "miou").text


def test_a_page_without_a_history_and_with_one_class_predicted(tmp_path, settings):
    evaluation = classified([0, 1, 1], [0, 0, 0], [0.5, 0.5, 0.5], ("no", "yes"))
    files = write_run(tmp_path / "run", evaluation, settings["classification"], epochs=0)
    assert context(files, "f1_macro", NOTHING)["curves"] is None
    page = page_of(files)
    assert "100 % of the images of yes are taken for no" in page.text
    assert page.tables["class-table"][2][2] == ""  # precision of what was never predicted


def test_pictures_stand_where_confusions_and_bars_lead_to(masks):
    four = [Picture(f"data:image/webp;base64,{n}", 320, 180) for n in "abcd"]
    page = page_of(masks, "miou", Gallery({1: four, 2: four}, [("road", "#804080")], 0.5))
    shown = [tag["src"][-1] for name, tag in page.tags if name == "img"]
    assert shown == list("abcdabcd")
    assert [tag["fill"] for _, tag in page.tags if tag.get("class") == "swatch"] == ["#804080"]
    places = {tag["id"] for _, tag in page.tags if tag.get("id", "").startswith("sample-")} - {"sample-table"}
    assert places == {"sample-1", "sample-2"}
    text = " ".join(page.text.split())
    assert "worst; car fails worst here; car taken for road" in text
    assert "own mIoU 0.278; 57 % of all errors; mostly car taken for road, 44 % of the frame" in text


def test_without_pictures_links_lead_to_the_table(images):
    page = page_of(images)
    wanted = {tag["href"][1:] for name, tag in page.tags if name == "a" and tag["href"].startswith("#sample-")}
    assert wanted
    assert wanted <= {tag["id"] for _, tag in page.tags if tag.get("id")}
    assert not [tag for name, tag in page.tags if name == "img"]


def written(files, curves):
    """The same evaluation after a training with the curves `train_eval/loss`, `val/loss`, and of the score on both."""
    names = ("train_eval/loss", "val/loss", "train_eval/miou", "val/miou")
    rows = [{"epoch": i, "lr": 0.1, **dict(zip(names, values, strict=True))} for i, values in enumerate(zip(*curves, strict=True))]  # fmt: skip
    write_csv(files.run.history, rows)
    return read_files(files.folder, files.run)


def test_the_verdict_on_fit_is_said_in_a_sentence_with_its_reason(masks):
    epochs = np.arange(30)
    falling, turning = 2 * np.exp(-epochs / 8), 0.8 + 0.002 * (epochs - 12) ** 2
    curves = falling, turning, 0.9 - 0.2 * falling, 0.6 - 0.0003 * (epochs - 12) ** 2
    found = verdict_on_fit([dict(row) for row in written(masks, curves).history], "miou")
    assert found.verdict == "overfitting"
    page = page_of(written(masks, curves), "miou")
    assert [tag["data-verdict"] for _, tag in page.tags if "data-verdict" in tag] == ["overfitting"]
    assert "The model overfits: in later epochs it went on to learn its training frames by heart" in page.text
    assert found.reason.replace("miou", "mIoU") in page.text
    assert (
        "Whether the model overfits cannot be told"
        in page_of(written(masks, [each[:3] for each in curves]), "miou").text
    )


def test_a_model_that_always_names_the_commonest_class_underfits(masks):
    # Of train, boat is the commonest; all of it predicted as boat, nothing is right: 0. Then road, 21 of 29 pixels: 21 / 29 / 2.
    flat = np.full(20, 1.0)
    write_table(masks.folder / "class_counts.csv", ["name", "train"], [("road", 9), ("car", 5), ("boat", 0)])
    files = written(masks, [flat, flat, np.full(20, 21 / 58), np.full(20, 21 / 58)])
    fit = context(files, "miou", NOTHING)["curves"]["fit"]
    assert fit.verdict == "underfitting"
    assert f"always predicting the commonest class has {21 / 58:.3f}" in fit.reason


def test_brightness_and_the_worst_part_are_said(masks):
    row = {"n_samples": 1, "support": 9, "accuracy": 0.5, "miou_classes": 2}
    rows = [{"slice": kind, "value": value, "miou": miou, **row} for kind, value, miou in (("all", "all", 0.4), ("brightness", "3.0-9.0", 0.9), ("brightness", "9.5-99.0", 5e-5), ("drive", "d", 0.3))]  # fmt: skip
    write_csv(masks.folder / "slices.csv", rows)
    text = " ".join(page_of(read_files(masks.folder, masks.run), "miou").text.split())
    assert "Worst: 9.5-99.0 (mIoU 0.000, 1 frame); best: 3.0-9.0 (mIoU 0.900, 1 frame)." in text
    assert "0 for black and 255 for white" in text
    assert "By drive" not in text  # a single part says nothing more than the whole


def test_the_data_are_described_by_their_files(images):
    text = " ".join(page_of(images).text.split())
    assert "train: 8 × 8 (4), 9 × 8 (2)" in text
    assert "The content of the images was not compared." in text
    names = [row["sample"] for row in images.split][:3]
    write_csv(images.run.files, [{"sample": name, "image": "x", "truth": str(i)} for i, name in enumerate(names)])
    text = " ".join(page_of(read_files(images.folder, images.run)).text.split())
    assert (
        f"2 images repeat another one byte for byte, within a split or across; the labels of 3 images contradict those of their copies: {', '.join(names)}."
        in text
    )


def test_what_limited_the_training_is_said_by_the_time_spent_waiting(images):
    assert "The device (cpu): of 6.0 s of training steps 1.5 s waited for images (25%)" in " ".join(
        page_of(images).text.split()
    )
    write_csv(images.run.timing, [{"epoch": 0, "steps": 2.0, "waited": 1.9}])
    text = " ".join(page_of(read_files(images.folder, images.run)).text.split())
    assert "The loader: of 2.0 s of training steps 1.9 s waited for images (95%), 0.1 s computed." in text


def test_training_images_are_shown_with_their_classes(images):
    gallery = Gallery(batch=[(Picture("data:image/webp;base64,x", 64, 64), "a/1", AWKWARD)])
    page = page_of(images, gallery=gallery)
    assert [tag["src"][-1] for name, tag in page.tags if name == "img"] == ["x"]
    assert "The first 1 of the 32 images of the first training step" in page.text
