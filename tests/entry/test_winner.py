"""Which jobs of a sweep win."""

from types import SimpleNamespace

import pytest
import yaml

from entry.config.run_config import stored_settings
from entry.errors import RequestError
from entry.winner import evaluate_winner, recipes_of
from run_files import read_json
from run_folder import RunFolder, write_csv, write_json
from tests.compared import write_run
from tests.entry.evaluation.test_summary import SCORES

COLUMNS = ("number", "overrides", "state", "exit_code", "seconds", "epochs", "val/f1_macro", "folder")


def write_sweep(folder, jobs):
    """A sweep's folder of jobs: (state, validation score, settings that differ)."""
    rows = []
    for number, (state, score, changed) in enumerate(jobs):
        run = write_run(folder / str(number), 0.9)
        config = yaml.safe_load((run / "config.yaml").read_text())
        for key, value in changed.items():
            group, _, name = key.rpartition(".")
            (config[group] if group else config)[name] = value
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        write_json(run / "environment.json", {"headline": "f1_macro", "parameters": 9})
        rows.append({"number": number, "state": state, "val/f1_macro": score, "folder": number})
    write_csv(folder / "sweep.csv", rows, COLUMNS)
    write_json(folder / "sweep.json", {"arguments": [], "created": ""})
    return folder


def names(recipes):
    return [[run.path.name for run in recipe.runs] for recipe in recipes]


def test_the_highest_validation_score_wins(tmp_path):
    sweep = write_sweep(tmp_path, [("finished", score, {"optimizer.lr": score}) for score in (0.5, 0.7, 0.6)])
    recipes = recipes_of(sweep)
    assert (names(recipes), recipes[0].mean, recipes[0].headline) == ([["1"], ["2"], ["0"]], 0.7, "f1_macro")


def test_seeds_are_one_recipe_and_its_mean_counts(tmp_path):
    jobs = [("finished", 0.9, {"seed": 1, "optimizer.lr": 0.1}), ("finished", 0.1, {"seed": 2, "optimizer.lr": 0.1}),
            ("finished", 0.6, {"seed": 1, "optimizer.lr": 0.2}), ("finished", 0.6, {"seed": 2, "optimizer.lr": 0.2})]  # fmt: skip
    recipes = recipes_of(write_sweep(tmp_path, jobs))
    assert names(recipes) == [["2", "3"], ["0", "1"]]
    assert [recipe.mean for recipe in recipes] == pytest.approx([0.6, 0.5])


def test_what_has_no_influence_makes_no_recipe(tmp_path):
    jobs = [("finished", 0.5, {"data.num_workers": 3, "seed": 1}), ("finished", 0.5, {"data.num_workers": 0, "seed": 2})]  # fmt: skip
    assert names(recipes_of(write_sweep(tmp_path, jobs))) == [["0", "1"]]
    assert stored_settings(RunFolder(tmp_path / "0")).data.num_workers == 3


def test_jobs_that_have_not_finished_do_not_win(tmp_path):
    jobs = [("pruned", 0.9, {}), ("failed", 0.8, {"seed": 5}), ("finished", 0.5, {"optimizer.lr": 0.5})]
    assert names(recipes_of(write_sweep(tmp_path, jobs))) == [["2"]]


def test_where_nothing_can_win_that_is_said(tmp_path):
    with pytest.raises(RequestError, match=r"no sweep\.json in it"):
        recipes_of(tmp_path)
    with pytest.raises(RequestError, match=r"no job has finished\. Go on with it: python train\.py -m sweep\.resume="):
        recipes_of(write_sweep(tmp_path / "a", [("failed", 0.5, {})]))
    mixed = write_sweep(tmp_path / "b", [("finished", 0.5, {}), ("finished", 0.5, {"optimizer.lr": 0.5})])
    write_json(mixed / "1" / "environment.json", {"headline": "miou", "parameters": 9})
    rows = (
        (mixed / "sweep.csv").read_text().replace("val/f1_macro", "val/f1_macro,val/miou").replace("0.5,", "0.5,0.5,")
    )
    (mixed / "sweep.csv").write_text(rows)
    with pytest.raises(RequestError, match=r"different scores \(f1_macro, miou\), so none is the best"):
        recipes_of(mixed)


def test_a_job_without_a_validation_score_does_not_win(tmp_path):
    jobs = [("finished", None, {"optimizer.lr": 0.5}), ("finished", 0.1, {}), ("finished", 0.2, {"seed": 7})]
    assert names(recipes_of(write_sweep(tmp_path, jobs))) == [["1", "2"]]


@pytest.mark.parametrize(
    ("scored", "evaluated"), [((), ["0"]), (("val",), ["0"]), (("test",), []), (("val", "test"), [])]
)
def test_the_winner_is_scored_once_on_the_reported_split(tmp_path, monkeypatch, scored, evaluated):
    """An evaluation of val, which anybody may have made, is not that of the reported split."""
    sweep = write_sweep(tmp_path, [("finished", 0.5, {})])
    run, calls = RunFolder(sweep / "0"), []
    for split in ("test", "val"):
        run.evaluation(split).mkdir(parents=True, exist_ok=True)
        (run.evaluation(split) / "scores.json").unlink(missing_ok=True)
        if split in scored:
            write_json(run.evaluation(split) / "scores.json", {**SCORES, "split": split, "f1_macro": 0.5})

    def evaluate(request, folder, settings):
        calls.append(folder.path.name)
        write_json(folder.evaluation("test") / "scores.json", {**SCORES, "split": "test", "f1_macro": 0.4})
        return "test"

    write_csv(
        run.split,
        [{"sample": "a.png", "group": "a", "target": "x", "split": split} for split in ("train", "val", "test")],
    )
    settings = stored_settings(run)
    monkeypatch.setattr("entry.trained.evaluate_trained", evaluate)
    monkeypatch.setattr("entry.evaluation.summary.print_summary", lambda *_: None)
    monkeypatch.setattr("entry.winner.with_overrides", lambda *_: (settings, settings))
    monkeypatch.setattr("entry.winner.check_targets", lambda *_: None)
    evaluate_winner(SimpleNamespace(keys=SimpleNamespace(split=None, run=None), allow=()), str(sweep))
    assert calls == evaluated
    assert read_json(sweep / "winner.json") == {
        "jobs": ["0"], "score": "val/f1_macro", "value": 0.5, "of_jobs": 1, "of_recipes": 1, "split": "test",
    }  # fmt: skip


def test_a_run_and_a_sweep_are_not_evaluated_together(tmp_path):
    with pytest.raises(RequestError, match="exclude each other"):
        evaluate_winner(SimpleNamespace(keys=SimpleNamespace(split=None, run="/a/run"), allow=()), str(tmp_path))
