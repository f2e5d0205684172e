"""The page of a comparison: its scores and differences are those of compare.csv."""

import csv

import numpy as np
import pytest

from entry.comparable import read_evaluations
from entry.comparison import compare, settings_table
from metrics.comparison import Difference
from reports.html.comparison import Gallery, changed, class_rows, curves, images, score_chart, write_page
from reports.html.pictures import Picture
from run_folder import write_csv
from tests.compared import CLASSES, write_masks, write_run
from tests.reports.html.conftest import AWKWARD, Page


def groups_of(*runs, split="test"):
    return [[each] for each in read_evaluations(runs, split)]


@pytest.fixture
def two(tmp_path):
    return groups_of(write_run(tmp_path / "a", 0.9), write_run(tmp_path / "b", 0.6, 1, "optimizer.lr=0.1"))


@pytest.fixture
def masks(tmp_path):
    return groups_of(write_masks(tmp_path / "a", 0.9), write_masks(tmp_path / "b", 0.8), split="val")


def page_of(folder, groups, gallery=Gallery()):  # noqa: B008
    write_page(folder, compare(groups, []), groups, settings_table(groups), "python compare.py", gallery)
    return Page((folder / "compare.html").read_text())


def test_every_score_and_difference_is_that_of_compare_csv(run_command, tmp_path):
    runs = [write_run(tmp_path / name, right, i, f"optimizer.lr=0.{i}1") for i, (name, right) in enumerate([("a", 0.9), ("b", 0.6), ("c", 0.55)])]  # fmt: skip
    folder = run_command("compare", f"runs=[{','.join(map(str, runs))}]").folder
    page = Page((folder / "compare.html").read_text())
    with (folder / "compare.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if not row["second"]:
            assert f"{float(row['value']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}]" in page.text
    columns = ("value", "low", "high", "p", "detectable", "verdict")
    wanted = [[row["first"], row["second"], row["score"], *(row[each] for each in columns)] for row in rows if row["second"] and not row["class"]]  # fmt: skip
    assert page.tables["difference-table"][1:] == wanted
    for i, j in ((0, 1), (0, 2), (1, 2)):
        first, second = "abc"[i], "abc"[j]
        wanted = [[row["class"], row["value"], row["p"], row["detectable"], row["verdict"]] for row in rows if (row["first"], row["second"]) == (first, second) and row["class"]]  # fmt: skip
        table = page.tables[f"classes-{i}-{j}"]
        assert [[row[place] for place in (0, 3, 5, 6, 7)] for row in table[1:]] == wanted
    assert "There are 3 pairs: each p is corrected for their number (Holm)." in page.text
    assert ["optimizer.lr", "0.01", "0.11", "0.21"] in page.tables["settings-table"]


def test_seeds_are_dots_and_too_few_are_named(run_command, tmp_path):
    runs = [write_run(tmp_path / f"{name}{seed}", right, seed, f"optimizer.lr={lr}") for name, right, lr in (("a", 0.9, 0.1), ("b", 0.6, 0.2)) for seed in range(3)]  # fmt: skip
    page = Page((run_command("compare", f"runs=[{','.join(map(str, runs))}]").folder / "compare.html").read_text())
    assert sum(tag == "circle" and attributes.get("class") == "seed" for tag, attributes in page.tags) == 3 * 6
    assert "Recipes cannot be told apart with fewer than 5 seeds a side" in page.text
    assert len(page.tables["run-table"]) == 7
    assert "recipes need 5 seeds a side, and have 3 and 3." in page.text


def test_no_difference_comes_with_what_could_have_been_seen(tmp_path):
    page = page_of(tmp_path, groups_of(write_run(tmp_path / "a", 0.8), write_run(tmp_path / "b", 0.8, 3)))
    assert "No difference is shown between a and b in f1_macro" in page.text
    assert "would have been seen in nine of ten cases" in page.text
    assert "Two runs are not two recipes" in page.text


def test_names_are_shown_and_not_run(two, tmp_path):
    for group in two:
        group[0].scores["classes"][0]["name"] = AWKWARD
    text = page_of(tmp_path, two).text
    assert AWKWARD in text
    assert AWKWARD not in (tmp_path / "compare.html").read_text()


def test_frames_that_changed_most(masks, tmp_path):
    first, second = (group[0] for group in masks)
    apart = np.abs(first.values - second.values)
    rows = changed(masks)
    assert len(rows) == 10
    assert apart[rows].tolist() == sorted(apart, reverse=True)[:10]
    found = images(masks)
    (row, *_) = found["rows"]
    assert row["facts"][0]["share"] == pytest.approx(first.wrong[rows[0]] / first.wrong.sum())
    assert sum(found["counts"][0]) == len(apart)
    assert found["counts"][0][1] == int((first.values > second.values).sum())
    pictures = {int(each): [Picture("data:,", 2, 2)] * 6 for each in rows}
    page = page_of(tmp_path, masks, Gallery(pictures, [("road", "#804080")]))
    alts = [attributes["alt"].split(": ")[0] for tag, attributes in page.tags if tag == "img"][:6]
    assert alts == ["image", "prediction of a", "prediction of b", "truth", "errors of a", "errors of b"]


def test_images_that_one_gets_right(two):
    first, second = (group[0].wrong == 0 for group in two)
    counts = [(first & second).sum(), (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum()]
    found = images(two)
    assert found["counts"] == [counts]
    assert len(found["rows"]) == 24
    assert all(row["facts"][0]["right"] != row["facts"][1]["right"] for row in found["rows"])
    for row in found["rows"]:
        assert row["truth"] == CLASSES[two[0][0].predictions["target"][row["row"]]]


def test_curves_lie_over_each_other(tmp_path):
    for name, epochs in (("a", 3), ("b", 5)):
        write_run(tmp_path / name, 0.8, 0, f"optimizer.lr=0.{epochs}")
        write_csv(tmp_path / name / "history.csv", [{"epoch": i, "train/loss": 2 - 0.1 * i, "val/loss": 2 - 0.2 * i, "val/f1_macro": None} for i in range(epochs)])  # fmt: skip
    groups = groups_of(tmp_path / "a", tmp_path / "b", write_run(tmp_path / "c", 0.7))
    found = curves(compare(groups, []), groups)
    assert found["without"] == ["c"]
    lines = dict(found["charts"])["validation loss"]["lines"]
    assert [(line["label"], line["style"], len(line["parts"][0])) for line in lines] == [("a", 0, 3), ("b", 1, 5)]
    assert lines[0]["parts"][0][0][0] == lines[1]["parts"][0][0][0]  # both begin in the first epoch
    assert dict(found["charts"])["validation f1_macro"]["lines"] == []


def test_places_on_the_axis_follow_the_numbers(two):
    found = compare(two, [])
    rows = score_chart(found, "accuracy")["rows"]
    slope = (rows[0]["x"] - rows[1]["x"]) / (rows[0]["value"] - rows[1]["value"])
    for row in rows:
        for bound, value in zip(row["bounds"], row["interval"], strict=True):
            assert row["x"] - bound == pytest.approx(slope * (row["value"] - value), abs=0.2)
    for row in class_rows(found, found.pairs[0]):
        assert (row["x"] > 70) == (row["difference"].value > 0)
        assert row["bounds"][0] < row["x"] < row["bounds"][1]


def test_what_is_undefined_has_no_place(two):
    found = compare(two, [])
    found.pairs[0].differences[-1:] = [Difference("f1", 2, None, None, None, None)]
    assert class_rows(found, found.pairs[0])[-1]["x"] is None
