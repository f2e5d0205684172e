"""The sweeper of searches: what it gives the launcher, what it refuses, and a search as it is typed."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import yaml
from hydra.errors import HydraException
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from hydra_plugins.idd_lightning._jobs import Record, Sweep
from hydra_plugins.idd_lightning.search import OptunaSweeper
from run_files import read_csv, read_json

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = {key: value for key, value in yaml.safe_load((ROOT / "conf/hydra/sweeper/optuna.yaml").read_text()).items() if key != "_target_"}  # fmt: skip


class Launcher:
    """Runs jobs in this process, one after another; a job's score is the value of its key x."""

    def __init__(self, folder):
        self.folder, self.jobs = folder, []

    def open(self):
        return Sweep.open(self.folder)

    def run(self, source):
        while (job := source.next()) is not None:
            self.jobs.append(job)
            score = float(dict(each.split("=") for each in job.overrides)["x"])
            source.ended(job, Record(job.number, list(job.overrides), state="finished", headline="miou", parameters=10, scores={"val/miou": score}))  # fmt: skip


@pytest.fixture
def composed():
    """What was composed before anything was made."""
    return []


@pytest.fixture
def search(tmp_path, composed):
    """Search with what was typed, and return the jobs."""

    def call(*arguments, n_trials=5, launcher=None, **settings):
        sweeper = OptunaSweeper(**{**DEFAULTS, **settings})
        sweeper.hydra_context, sweeper.config = SimpleNamespace(config_loader=None), {"n_trials": n_trials}
        sweeper.validate_batch_is_legal = composed.extend
        sweeper.launcher = launcher or Launcher(tmp_path / "sweep")
        sweeper.sweep(list(arguments))
        return sweeper.launcher.jobs

    return call


def test_keys_of_a_file_are_searched_unless_they_are_typed_and_keys_of_the_sweep_reach_no_job(
    search, composed, tmp_path
):
    params = {"x": "interval(0,1)", "y": "1,2", "aug": "none"}
    jobs = search("y=3", "n_trials=5", "retries=1", "data.root='/my data'", params=params)
    assert [job.number for job in jobs] == [0, 1, 2, 3, 4]
    assert composed == [["y=3", "aug=none", "data.root='/my data'", "x=0.0"]]
    for job in jobs:
        *fixed, x = job.overrides
        assert fixed == ["y=3", "aug=none", "data.root='/my data'"]
        assert x.startswith("x=0.")
    kept = read_json(tmp_path / "sweep/search.json")
    assert kept == {"storage": None, "study": "search", "objectives": ["headline"], "sampler": "tpe", "pruner": "median", "seed": 0,
                    "space": {"x": "interval(0,1)"}}  # fmt: skip


def test_a_path_of_a_database_does_not_depend_on_where_a_job_starts(search, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search("x=interval(0,1)", storage="sqlite:///search.db", n_trials=2, pruner="none")
    kept = read_json(tmp_path / "sweep/search.json")
    assert kept["storage"] == f"sqlite:///{tmp_path}/search.db"
    assert kept["pruner"] is None
    assert len(optuna.load_study(study_name=kept["study"], storage=kept["storage"]).trials) == 2


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (["x=1"], {}, "There is nothing to search"),
        ([], {}, "There is nothing to search"),
        (["x=1,2"], {"n_trials": None}, "n_trials=40"),
        (["x=1,2"], {"sampler": "bayes"}, "sampler=bayes: there is no such sampler. Choose one of: tpe, random, grid"),
        (["x=1,2"], {"pruner": "asha"}, "pruner=asha: there is no such pruner. Choose one of: median, hyperband, none"),
        (["x=1,2"], {"seed": -1}, "seed=-1"),
        (["x=1,2"], {"seed": "a"}, "seed=a"),
        (["x=1,2"], {"objectives": []}, "objectives is empty"),
        (["x=1,2"], {"objectives": ["headline", "seconds"]}, "objectives=[headline,seconds] cannot be pruned"),
        (["x=1,2"], {"objectives": ["parameters"], "pruner": "hyperband"}, "Type hydra.sweeper.pruner=none"),
        (["x=interval(0,1)"], {"sampler": "grid"}, "a grid needs values"),
        (["x=interval(1,0)"], {}, "x=interval(1,0): "),
        (["x=1,2"], {"launcher": SimpleNamespace()}, "with hydra/launcher=local alone"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused_in_a_sentence_and_leaves_nothing(
    search, tmp_path, arguments, settings, sentence
):
    with pytest.raises(HydraException) as refusal:
        search(*arguments, **settings)
    assert sentence in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_several_objectives_are_searched_without_a_pruner(search, tmp_path):
    jobs = search("x=interval(0,1)", objectives=["headline", "parameters"], pruner="none")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "sweep" / "journal.log")))
    found = [trial.values for trial in optuna.load_study(study_name="search", storage=storage).trials]
    assert found == [[float(job.overrides[0].partition("=")[2]), 10] for job in jobs]


def typed(folder, *arguments):
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, ROOT / "train.py", "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def states(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return [trial.state.name for trial in optuna.load_study(study_name="search", storage=storage).trials]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["n_trials=2", "optimizr.lr=interval(0,1)"], "There is no key 'optimizr.lr'; did you mean optimizer.lr"),
        (["seed=1,2"], "A search needs its number of trials: n_trials=40."),
        (["n_trials=2", "seed=1,2", "hydra/launcher=basic"], "hydra/sweeper=optuna searches with hydra/launcher=local alone"),
    ],
)  # fmt: skip
def test_what_is_typed_wrongly_is_refused_as_one_sentence_and_leaves_nothing(
    run_command, tmp_path, arguments, sentence
):
    answer = run_command("train", "-m", "hydra/sweeper=optuna", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(sentence)
    assert len(answer.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_search_as_it_is_typed_survives_a_failure_and_goes_on_to_exactly_n_trials(tmp_path, image_folder):
    """One trial of the grid diverges: its loss is not finite."""
    begin = ["hydra/sweeper=optuna", "hydra.sweeper.sampler=grid", "optimizer=sgd", "optimizer.lr=1e-3,1e30,2e-3"]
    rest = ["data=image_folder", f"data.root={image_folder}", "trainer=cpu", "trainer.max_epochs=2", "logger=csv"]
    first = typed(tmp_path, *begin, *rest, "n_trials=2", "hydra.sweep.dir=s")
    sweep = tmp_path / "s"
    assert len(states(sweep)) == 2, first.stderr
    second = typed(tmp_path, "sweep.resume=s", "n_trials=9")
    assert sorted(states(sweep)) == ["COMPLETE", "COMPLETE", "FAIL"], second.stderr
    assert 1 in (first.returncode, second.returncode)
    rows = read_csv(sweep / "sweep.csv")
    assert {row["overrides"].split()[-1]: row["state"] for row in rows} == {
        "optimizer.lr=0.001": "finished", "optimizer.lr=1e+30": "failed", "optimizer.lr=0.002": "finished",
    }  # fmt: skip
