"""What the page of a sweep takes from the files in its folder."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from entry.sweep_page import write
from run_folder import write_csv, write_json, write_text
from tests import compared
from tests.reports.html.conftest import AWKWARD, Page
from tests.swept import STARTED, curve, write_job, write_many, write_study, write_sweep, write_table


@pytest.fixture
def folder(tmp_path):
    return write_sweep(tmp_path / "s", ["optimizer.lr=1e-3,1e-2", f"data.name={AWKWARD}"])


def jobs_of(path: Path) -> list[dict[str, str]]:
    head, *rows = Page(path.read_text()).tables["job-table"]
    return [dict(zip((text.strip() for text in head), row, strict=True)) for row in rows]


def test_the_table_has_the_numbers_of_the_files(tmp_path):
    folder = write_many(tmp_path / "s", 20)
    rows = jobs_of(write(folder))
    assert len(rows) == 20
    for row in rows:
        run = folder / row["job"]
        if not run.is_dir():
            assert (row["validation f1_macro"], row["epochs"]) == ("", "")
            continue
        history = list(csv.DictReader((run / "history.csv").open()))
        highest = max(float(each["val/f1_macro"]) for each in history)
        epoch = next(i for i, each in enumerate(history, 1) if float(each["val/f1_macro"]) == highest)
        assert float(row["validation f1_macro"]) == highest
        assert (int(row["best epoch"]), int(row["epochs"])) == (epoch, len(history))
        assert float(row["train f1_macro"]) == float(history[epoch - 1]["train_eval/f1_macro"])


def test_scores_of_nought_and_nan_and_of_another_name(folder):
    write_job(folder, 0, ["optimizer.lr=1"], scores=[0.0, 0.0])
    write_job(folder, 1, ["optimizer.lr=2"], "failed", scores=[float("nan")])
    run = write_job(folder, 2, ["optimizer.lr=3"], scores=[0.5])
    write_json(run / "environment.json", {"headline": "miou"})
    write_csv(run / "history.csv", [{"epoch": 0, "val/f1_macro": 0.9, "val/miou": 0.25}])
    rows = [(row["job"], row["validation score"], row["best epoch"]) for row in jobs_of(write(folder))]
    assert rows == [("2", "0.25", "1"), ("0", "0.0", "1"), ("1", "", "")]


def test_a_failed_job_has_the_last_line_of_its_log_and_one_without_a_log_none(folder):
    write_job(folder, 0, ["optimizer.lr=1"], "failed", log="x\n" * 9000 + f"The loss {AWKWARD} is nan\r\n\n")
    write_job(folder, 1, ["optimizer.lr=2"], "refused", log="  \n")
    write_job(folder, 2, ["optimizer.lr=3"], "failed")
    (folder / "logs" / "2.log").unlink()
    page = write(folder)
    assert f"The loss {AWKWARD} is nan" in Page(page.read_text()).text
    assert AWKWARD not in page.read_text()


def test_jobs_that_wait_are_read_from_the_table_with_values_that_hold_blanks(folder):
    write_job(folder, 0, ["optimizer.lr=1", "data.name=a b"], scores=[0.5])
    write_table(folder, {0: ["optimizer.lr=1"], 1: ["optimizer.lr=2", "data.name=c d e", "+x.y=[1, 2]"]})
    rows = {row["job"]: row for row in jobs_of(write(folder))}
    assert (rows["1"]["data.name"], rows["1"]["x.y"], rows["1"]["state"]) == ("c d e", "[1, 2]", "waiting")
    assert rows["0"]["data.name"] == "a b"


def test_a_running_job_that_is_silent_is_named_and_its_bar_ends_with_its_last_heartbeat(folder):
    write_job(folder, 0, ["optimizer.lr=1"], "running", [0.5, 0.6], seconds=None)
    text = " ".join(Page(write(folder).read_text()).text.split())
    assert f"last heartbeat: {STARTED.format(0, 30)}" in text
    assert "in 30 s on 1 slot" in text
    assert "not yet: some jobs are running or waiting" in text


def test_a_job_that_was_resumed_is_drawn_from_its_last_start(folder):
    write_job(folder, 0, ["optimizer.lr=1"], "finished", [0.5], seconds=4000.0, attempts=2)
    text = " ".join(Page(write(folder).read_text()).text.split())
    assert "1 h 6 min of all jobs together, in 30 s on 1 slot" in text


def test_the_lines_to_type(folder, monkeypatch):
    write_job(folder, 0, ["optimizer.lr=1"], scores=[0.5])
    monkeypatch.chdir(folder.parent)
    text = Page(write(folder).read_text()).text
    assert f"python train.py -m optimizer.lr=1e-3,1e-2 'data.name={AWKWARD}'" in text
    assert "experiment=best" not in text  # there is no best.yaml yet
    assert "sweep.resume" not in text
    write_text(folder / "experiment" / "best.yaml", "")
    write_job(folder, 1, ["optimizer.lr=2"], "stopped")
    text = Page(write(folder).read_text()).text
    for line in ("train.py --config-dir=s experiment=best", "evaluate.py sweep=s", "train.py -m sweep.resume=s"):
        assert f"python {line}" in text


def test_a_search_has_the_importances_and_the_front_that_optuna_gives(tmp_path):
    folder = write_many(tmp_path / "s", 40)
    study = write_study(folder, ["maximize", "minimize"])
    tables = Page(write(folder).read_text()).tables
    best = {str(trial.number): [repr(value) for value in trial.values] for trial in study.best_trials}
    assert {row[0]: row[1:3] for row in tables["front-table"][1:]} == best
    usual = optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0), target=lambda trial: trial.values[0])  # fmt: skip
    found = {name: float(share) for name, share in tables["importance-1"][1:]}
    assert found == {name: pytest.approx(share, abs=0.1) for name, share in usual.items()}
    again = Page(write(folder).read_text()).tables
    assert again["importance-1"] == tables["importance-1"]


def test_a_search_of_few_or_equal_trials_has_no_importance(tmp_path):
    folder = write_many(tmp_path / "few", 10)
    write_study(folder, ["maximize"])
    assert "from ten finished trials on; there are 7." in Page(write(folder).read_text()).text
    equal = write_sweep(tmp_path / "equal")
    for i in range(12):
        write_job(equal, i, [f"optimizer.lr=0.{i + 1}", "model=resnet18"], scores=[0.5])
    write_study(equal, ["maximize"])
    assert "No parameter has an importance" in Page(write(equal).read_text()).text


def test_a_study_that_cannot_be_read_costs_its_section_only(folder):
    write_job(folder, 0, ["optimizer.lr=1"], scores=[0.5])
    write_json(folder / "search.json", {"storage": "sqlite:////nowhere/at.all", "study": "x", "objectives": ["f1_macro"], "pruner": None})  # fmt: skip
    page = write(folder)
    assert "The study x could not be read" in Page(page.read_text()).text
    assert len(jobs_of(page)) == 1


@pytest.mark.slow
def test_a_thousand_jobs_are_written_in_time_and_need_no_torch(tmp_path):
    folder = write_many(tmp_path / "s", 1000, [f"p{i}=x" for i in range(3)])
    program = "import sys; from pathlib import Path; from entry.sweep_page import write; write(Path(sys.argv[1])); assert 'torch' not in sys.modules"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, timeout=60)
    assert time.monotonic() - began < 10
    page = folder / "sweep.html"
    assert page.stat().st_size < 2_000_000
    assert len(jobs_of(page)) == 1000
    assert page.read_text().count('<li><svg width="26"') == 6  # five curves and the others


def test_compare_writes_the_page_of_a_sweep_and_makes_no_folder(run_command, tmp_path):
    folder = write_many(tmp_path / "s", 10)
    answer = run_command("compare", f"runs={folder}")
    assert (answer.code, answer.err) == (0, "")
    assert answer.folder == folder / "sweep.html"
    assert answer.folder.is_file()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("key", "compares"), [("seed", True), ("data.fold", False)])
def test_compare_compares_the_jobs_of_a_sweep_that_were_all_evaluated_but_no_folds(
    run_command, tmp_path, key, compares
):
    folder = write_sweep(tmp_path / "s")
    for i in range(2):
        write_job(folder, i, [f"{key}={i}"])
        compared.write_run(folder / str(i), 0.7 + 0.1 * i, i)
    answer = run_command("compare", f"runs={folder}")
    assert answer.code == 0, answer.err
    assert (answer.folder / "compare.csv").is_file() == compares
    assert (folder / "sweep.html").is_file()
    write_job(folder, 2, ["seed=2"], scores=curve(0.5, 3))
    assert run_command("compare", f"runs={folder}").folder == folder / "sweep.html"


def test_a_requirement_or_two_folders_are_left_to_the_comparison(run_command, tmp_path):
    folder = write_many(tmp_path / "s", 3)
    for typed in (
        [f"runs={folder}", "require='f1_macro>=0.5'"],
        [f"runs=[{folder},{folder}]"],
        [f"runs={folder}", "report.html=false"],
    ):
        answer = run_command("compare", *typed)
        assert (answer.code, "Traceback" in answer.err) == (2, False)
        assert not (folder / "sweep.html").exists()


def test_a_damaged_record_is_named(run_command, tmp_path):
    folder = write_many(tmp_path / "s", 2)
    write_text(folder / "jobs" / "1.json", "{")
    answer = run_command("compare", f"runs={folder}")
    assert answer.code == 2
    assert f"{folder / 'jobs' / '1.json'} is damaged" in answer.err
