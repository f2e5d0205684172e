"""Records of jobs, and the table that is made of them."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.idd_lightning._jobs import Job, Record, Sweep, best_row, last_lines, of_sweep, quoted, typed
from run_files import read_csv
from run_folder import RunFolderError, write_csv, write_json


def write_history(folder, *scores):
    folder.mkdir(parents=True)
    rows = [{"epoch": epoch, "val/miou": score, "val/loss": 1 - epoch / 10} for epoch, score in enumerate(scores)]
    write_csv(folder / "history.csv", rows)
    write_json(folder / "environment.json", {"headline": "miou", "parameters": 1234})


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((0.1, 0.5, 0.3), 1),
        ((0.5, 0.5), 0),
        ((None, 0.2), 1),
        ((None, None), None),
        (("nan", 0.2, "inf"), 1),
        ((), None),
    ],
)
def test_the_best_epoch_is_the_first_with_the_highest_finite_score(scores, best):
    rows = [{"epoch": str(i), "val/miou": "" if score is None else str(score)} for i, score in enumerate(scores)]
    found = best_row(rows, "val/miou")
    assert (None if found is None else int(found["epoch"])) == best


def test_a_record_has_the_scores_of_the_epoch_that_was_kept(tmp_path):
    write_history(tmp_path / "0", 0.2, 0.6, 0.4)
    record = Record(0, ["seed=1"])
    record.learn(tmp_path / "0")
    assert (record.epochs, record.score, record.parameters) == (3, 0.6, 1234)
    assert record.scores == {"val/miou": 0.6, "val/loss": 0.9}
    empty = Record(1, [])
    empty.learn(tmp_path)
    assert (empty.score, empty.epochs, empty.headline) == (None, 0, None)


def test_records_survive_and_the_table_has_all_jobs_in_their_order(tmp_path):
    sweep = Sweep(tmp_path / "sweep")
    sweep.create(["seed=1,2"], "2026-01-01T00:00:00+00:00")
    write_history(sweep.folder(10), 0.25)
    for number, state, score in ((10, "finished", 0.25), (2, "failed", 0.9), (3, "refused", None)):
        scores = {} if score is None else {"val/miou": score}
        sweep.keep(
            Record(number, [f"seed={number}", "x='a,b'"], state=state, headline="miou", scores=scores, seconds=1.26)
        )
    sweep.write_table([Job(10, ("seed=10",)), Job(11, ("seed=11",))])
    rows = read_csv(sweep.path / "sweep.csv")
    assert [(row["number"], row["state"], row["val/miou"], row["folder"]) for row in rows] == [
        ("2", "failed", "0.9", ""), ("3", "refused", "", ""), ("10", "finished", "0.25", "10"), ("11", "waiting", "", ""),
    ]  # fmt: skip
    assert (rows[0]["overrides"], rows[0]["seconds"]) == ("seed=2 x='a,b'", "1.3")
    again = Sweep.open(sweep.path)
    assert again.records == sweep.records
    assert again.best().number == 10  # a job that failed is not chosen


def test_the_last_lines_of_a_log_that_may_not_be_there(tmp_path):
    assert last_lines(tmp_path / "0.log", 3) == []
    (tmp_path / "0.log").write_bytes(b"x" * 100_000 + b"\none  \n\n\xff two\nthree\n\n")
    assert last_lines(tmp_path / "0.log", 3) == ["one", "\ufffd two", "three"]
    assert last_lines(tmp_path / "0.log", 1) == ["three"]


@pytest.mark.parametrize(("override", "is_one"), [("jobs=2", True), ("+retries=1", True), ("sweep.resume=x", True), ("sweep.evaluate=all", False), ("seed=1", False), ("jobs_of_mine=1", False)])  # fmt: skip
def test_keys_of_the_sweep_are_no_settings_of_jobs(override, is_one):
    assert of_sweep(override) == is_one


@pytest.mark.parametrize("name", ["plain", "a b", "a=b (1),{2}", 'quo"te', "back\\slash", "it's"])
def test_paths_are_typed_so_that_a_shell_and_hydra_read_them(tmp_path, name):
    path = tmp_path / name
    for text in (f"run={quoted(path)}", shlex.split(typed("run", path))[0]):
        assert OverridesParser.create().parse_override(text).value() == str(path)


@pytest.mark.parametrize(
    "content",
    [
        [],
        None,
        {"number": 0},
        {"number": 0, "overrides": [], "more": 1},
        {"number": 1, "overrides": []},
        {"number": 0, "overrides": [], "seconds": 1e300},
    ],
)
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "jobs").mkdir()
    write_json(tmp_path / "jobs/0.json", content)
    with pytest.raises(RunFolderError, match=r"jobs/0\.json is damaged"):
        Sweep.open(tmp_path)
