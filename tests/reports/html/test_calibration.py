"""The calibration on a page: its numbers are those of calibration.csv, and its sentences follow from them."""

import csv

import pytest

from reports.html.calibration import reliability
from reports.html.evaluation import Gallery, write_report
from reports.html.files import read_files
from tests.reports.html.conftest import AWKWARD, Page, classified, write_run


def page_of(files):
    write_report(files.folder, files.run, "miou", Gallery())
    return Page((files.folder / "report.html").read_text())


def section(page):
    return " ".join(page.text.split("can its confidence be relied upon?")[1].split("Speed")[0].split())


@pytest.fixture(params=["images", "masks"])
def files(request):
    return request.getfixturevalue(request.param)


def test_every_number_of_the_table_is_that_of_the_file(files):
    table = page_of(files).tables["calibration-table"]
    with (files.folder / "calibration.csv").open(newline="") as file:
        rows = {(row["class"], row["region"]): row for row in csv.DictReader(file) if not row["bin"]}
    classes = [name for name, region in rows if name and region == "all"]
    assert [line[0].split(" 1 ")[0].split(" 2 ")[0] for line in table[1:]] == classes
    columns = {"confidence": "confidence", "right": "accuracy", "error": "ece", files.unit: "count"}
    for text, column in columns.items():
        assert [line[table[0].index(text)] for line in table[1:]] == [rows[name, "all"][column] for name in classes]
    for line, name in zip(table[1:], classes, strict=True):
        row = rows[name, "all"]
        assert float(line[4]) == float(row["confidence"]) - float(row["accuracy"])
        assert line[6] == (f"{float(row['ece_low']):.3f} to {float(row['ece_high']):.3f}" if row["ece_low"] else "")
        for region in ("boundary", "interior") if files.unit == "pixels" else ():
            assert line[table[0].index(region)] == rows.get((name, region), {"ece": ""})["ece"]
    for region in {region for _, region in rows}:
        assert f"{float(rows['', region]['ece']):.3f}" in section(page_of(files))


def test_sentences_by_hand(images, masks):
    # Of 29 pixels with truth 22 are right, each with 0.75; of the seven at a boundary, four.
    found = section(page_of(masks))
    for sentence in (
        "On average the model is 75 % confident, and 76 % of the pixels are right: it is under-confident.",
        "The largest part of the error is where it is 75 % confident: there 76 % of 29 pixels are right.",
        "Expected calibration error: 0.009 [",
        "The interval reaches 0: chance may have made the error.", "0.179 [", "within 3 pixels of a boundary of the truth (24 % of the pixels)", "2 drives only: the interval is rough.",
        "Nothing was fitted to this split", "a jackknife over the drives",
    ):  # fmt: skip
        assert sentence in found, sentence
    # 5 of 8 are right; the sum of the probabilities is 5.72.
    found = section(page_of(images))
    assert "the model is 72 % confident, and 62 % of the images are right: it is over-confident" in found
    assert "boundary" not in found
    assert AWKWARD in found


def test_diagrams_by_hand(masks):
    found = reliability(masks)
    assert list(found["parts"]) == ["all", "boundary", "interior"]
    (only,) = found["parts"]["all"]["diagram"]
    assert (only["bin"], only["x"], only["low"], only["high"]) == (12, 176, 11 / 15, 12 / 15)
    assert (only["right"], only["gap"], only["tall"]) == (57.9, (57.9, 2.1), 44)  # of 240 pixels 22/29 and 0.75
    assert [each["all"]["class"] for each in found["drawn"]] == ["road", "car"]


def test_largest_errors_first_and_few_elements_are_pale(tmp_path, settings):
    truth = [0] * 30 + [1] * 30
    evaluation = classified(truth, truth, [0.9] * 30 + [0.5] * 29 + [0.7], ("a", "b"))
    found = reliability(write_run(tmp_path / "run", evaluation, settings["classification"]))
    assert [each["all"]["class"] for each in found["drawn"]] == ["b", "a"]
    assert [each["thin"] for each in found["parts"]["all"]["diagram"]] == [False, True, False]


def test_why_there_is_none(masks):
    (masks.folder / "calibration.csv").unlink()
    files = read_files(masks.folder, masks.run)
    assert reliability(files) is None
    assert "No probabilities were counted in this evaluation." in section(page_of(files))
    text = (masks.folder / "scores.json").read_text()
    (masks.folder / "scores.json").write_text(
        text.replace('"file": "best.ckpt"', '"file": null')
        .replace('"epoch": 1', '"epoch": null')
        .replace('"step": 8', '"step": null')
    )
    assert "Masks that were made elsewhere have no probabilities" in section(page_of(files))
