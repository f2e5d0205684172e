"""The trials of a search, against Optuna's own distributions and study."""

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hydra_plugins.idd_lightning._jobs import Job, Record, Sweep
from hydra_plugins.idd_lightning._study import Search, Trials, distribution, grid_of
from run_files import read_csv, read_json

ROOT = Path(__file__).resolve().parents[3]
RATE = "optimizer.lr=tag(log,interval(1e-5,1e-1))"
SPACE = (RATE, "model=custom_cnn,resnet18", "data.batch_size=range(8,33,8)")


def parsed(*texts):
    return OverridesParser.create().parse_overrides(list(texts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=interval(1,5)", FloatDistribution(1, 5)),
        ("x=tag(log,interval(1e-5,1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("x=int(interval(1,5))", IntDistribution(1, 5)),
        ("x=int(tag(log,interval(1,100)))", IntDistribution(1, 100, log=True)),
        ("x=range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("x=range(10,1,-3)", IntDistribution(4, 10, step=3)),
        ("x=tag(log,range(1,5))", IntDistribution(1, 4, log=True)),
        ("x=range(0.1,0.5,0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("x=float(range(1,4))", FloatDistribution(1, 3, step=1)),
        ("x=8,16,32", CategoricalDistribution([8, 16, 32])),
        ("x=1e-3,3e-4", CategoricalDistribution([0.001, 0.0003])),
        ("x=choice(true,false)", CategoricalDistribution([True, False])),
        ("x=1,true", CategoricalDistribution(["1", "True"])),  # equal in Python
        ("x=null,a", CategoricalDistribution(["null", "a"])),
        ("x='a b',\"c,d\"", CategoricalDistribution(["'a b'", '"c,d"'])),
        ("x=[32,32],[64,64]", CategoricalDistribution(["[32,32]", "[64,64]"])),
        ("x=shuffle(3,1,2)", CategoricalDistribution([3, 1, 2])),
        ("+x.y=1,2", CategoricalDistribution([1, 2])),
    ],
)
def test_a_sweep_of_hydra_is_a_distribution_of_optuna(text, expected):
    assert distribution(parsed(text)[0]) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x=interval(5,1)", "low <= high"), ("x=tag(log,interval(0,1))", "low > 0"), ("x=tag(log,range(1,9,2))", "only accept step is 1"),
        ("x=tag(log,choice(1,2))", "the only tag is log, of intervals and ranges"), ("x=tag(logarithmic,interval(1,2))", "the only tag is log"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_from_is_refused_with_what_was_typed(text, reason):
    with pytest.raises(HydraException) as refusal:
        distribution(parsed(text)[0])
    assert str(refusal.value).startswith(text)
    assert reason.replace(" ", "") in str(refusal.value).replace("`", "").replace(" ", "")


def test_a_grid_has_the_values_of_choices_and_ranges_and_refuses_intervals():
    assert grid_of(parsed("a=1,2", "b=range(0.1,0.3,0.1)")) == {"a": [1, 2], "b": [0.1, 0.2]}
    with pytest.raises(HydraException, match="a grid needs values"):
        grid_of(parsed("a=interval(1,2)"))


def trials(folder, count, *, space=SPACE, sampler="tpe", seed=0, objectives=("headline",), storage=None, fixed=()):
    overrides = parsed(*space)
    texts = {each.get_key_element(): each.input_line.partition("=")[2] for each in overrides}
    search = Search(storage, "search", list(objectives), sampler, "median", seed, texts)
    return Trials(Sweep.open(folder), search, overrides, fixed, count)


def record(job, state="finished", score=0.5, **facts):
    scores = {} if score is None else {"val/f1_macro": score, "val/accuracy": score / 2, "val/loss": 1 - score}
    return Record(job.number, list(job.overrides), state=state, headline="f1_macro", scores=scores, **facts)


def study_of(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.load_study(study_name="search", storage=storage)


def rest(source, score=lambda job: 0.1 * (job.number % 7), seconds=0.0):
    """Do all trials, one after another."""
    jobs = []
    while (job := source.next()) is not None:
        time.sleep(seconds)
        jobs.append(job)
        source.ended(job, record(job, score=score(job)))
    return jobs


def test_trials_are_jobs_with_what_is_fixed_and_what_was_drawn(tmp_path):
    source = trials(tmp_path, 3, fixed=("trainer.max_epochs=2",))
    assert source.varied == ["optimizer.lr", "model", "data.batch_size"]
    assert source.total == 3
    [first, second, third] = rest(source)
    assert [first.number, second.number, third.number] == [0, 1, 2]
    for job, trial in zip((first, second, third), study_of(tmp_path).trials, strict=True):
        assert job.overrides == ("trainer.max_epochs=2", *(f"{key}={value}" for key, value in trial.params.items()))
        assert (trial.state, trial.values) == (TrialState.COMPLETE, [0.1 * trial.number])
        OverridesParser.create().parse_overrides(list(job.overrides))
    assert read_json(tmp_path / "search.json")["space"] == {
        "optimizer.lr": "tag(log,interval(1e-5,1e-1))", "model": "custom_cnn,resnet18", "data.batch_size": "range(8,33,8)",
    }  # fmt: skip


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_gives_the_same_trials_also_after_an_interruption(tmp_path, sampler):
    whole = rest(trials(tmp_path / "whole", 14, sampler=sampler))
    begun = rest(trials(tmp_path / "parts", 11, sampler=sampler))
    parts = begun + rest(trials(tmp_path / "parts", 14, sampler=sampler))  # as a restart with a higher n_trials
    assert whole == parts
    assert len({job.overrides for job in whole}) == 14
    assert rest(trials(tmp_path / "other", 14, sampler=sampler, seed=1)) != whole


def test_a_grid_is_tried_once_whatever_the_order_and_ends_by_itself(tmp_path):
    space = ("a=1,2,3", "b=x,y", "c=range(0.1,0.3,0.1)")
    source = trials(tmp_path, None, space=space, sampler="grid")
    assert source.total == 12
    first = [source.next() for _ in range(5)]  # several at once
    for job in reversed(first):
        source.ended(job, record(job, "failed"))
    done = {tuple(job.overrides) for job in first + rest(trials(tmp_path, None, space=space, sampler="grid"))}
    assert done == {(f"a={a}", f"b={b}", f"c={c}") for a, b, c in itertools.product((1, 2, 3), "xy", (0.1, 0.2))}
    assert len(study_of(tmp_path).trials) == 12
    assert len(rest(trials(tmp_path / "fewer", 4, space=space, sampler="grid"))) == 4


@pytest.mark.parametrize(
    ("state", "score", "expected"),
    [
        ("finished", 0.5, TrialState.COMPLETE), ("finished", None, TrialState.FAIL), ("failed", 0.5, TrialState.FAIL),
        ("refused", None, TrialState.FAIL), ("pruned", 0.5, TrialState.PRUNED), ("stopped", 0.5, TrialState.RUNNING),
    ],
)  # fmt: skip
def test_how_a_job_ended_is_recorded_and_the_search_goes_on(tmp_path, state, score, expected):
    source = trials(tmp_path, 2)
    job = source.next()
    source.ended(job, record(job, state, score))
    assert study_of(tmp_path).trials[0].state == expected
    assert [each.number for each in rest(source)] == [1]
    assert len(study_of(tmp_path).trials) == 2


def test_several_objectives_each_in_its_direction(tmp_path):
    source = trials(tmp_path, 1, objectives=("headline", "accuracy", "loss", "seconds", "parameters"))
    job = source.next()
    source.ended(job, record(job, score=0.8, seconds=30.5, parameters=1200))
    study = study_of(tmp_path)
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MAXIMIZE", "MINIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.trials[0].values == pytest.approx([0.8, 0.4, 0.2, 30.5, 1200])


def test_an_objective_that_runs_do_not_have_is_refused_with_those_that_they_have(tmp_path):
    source = trials(tmp_path, 1, objectives=("miou",))
    job = source.next()
    with pytest.raises(HydraException, match=r"job 0 has no miou. Choose from: headline, .*f1_macro"):
        source.ended(job, record(job))


PROCESS = """
import json, os, signal, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.hydra_plugins.idd_lightning.test_study import record, rest, trials
folder = Path({folder!r})
{body}
"""


def python(folder, body):
    program = PROCESS.format(root=str(ROOT), folder=str(folder), body=body)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_two_processes_on_one_study_lose_no_trial_and_double_none(tmp_path):
    trials(tmp_path, 20)
    begin = "print(flush=True); source = trials(folder, 20)\nwhile not (folder / 'go').exists(): time.sleep(0.001)\n"
    body = begin + "print(json.dumps([job.number for job in rest(source, seconds=0.02)]))"
    processes = [python(tmp_path, body) for _ in range(2)]
    assert [process.stdout.readline() for process in processes] == ["\n", "\n"]
    (tmp_path / "go").touch()
    found = [json.loads(process.communicate()[0]) for process in processes]
    assert all(found), "both have had some"
    assert sorted(found[0] + found[1]) == list(range(20))
    assert [trial.state for trial in study_of(tmp_path).trials] == [TrialState.COMPLETE] * 20


def test_a_trial_of_a_process_that_was_killed_is_taken_up_by_another_and_that_of_a_living_one_is_not(tmp_path):
    body = "source = trials(folder, 4)\nfor _ in range(2): print(source.next().overrides, flush=True)\n"
    killed = python(tmp_path, body + "os.kill(os.getpid(), signal.SIGKILL)")
    texts = killed.communicate()[0].splitlines()
    assert killed.returncode == -signal.SIGKILL
    source = trials(tmp_path, 4)
    again = source.next()
    assert (again.number, str(again.overrides)) == (0, texts[0])
    other = python(tmp_path, "source = trials(folder, 4)\nprint([job.number for job in rest(source)])")
    assert other.communicate()[0] == "[1, 2, 3]\n"
    source.ended(again, record(again))
    assert source.next() is None
    assert [trial.state for trial in study_of(tmp_path).trials] == [TrialState.COMPLETE] * 4


def test_a_trial_that_was_killed_before_its_parameters_were_drawn_gets_them(tmp_path):
    whole = rest(trials(tmp_path / "whole", 2))
    source = trials(tmp_path / "killed", 2)
    source.study.ask()
    assert rest(source) == whole


def test_trials_that_somebody_enqueued_come_first_and_count(tmp_path):
    source = trials(tmp_path, 2)
    source.study.enqueue_trial({"optimizer.lr": 0.003})
    jobs = rest(source)
    assert "optimizer.lr=0.003" in jobs[0].overrides
    assert [job.number for job in jobs] == [0, 1]


def test_a_database_holds_the_study_instead(tmp_path):
    address = f"sqlite:///{tmp_path / 'search.db'}"
    assert len(rest(trials(tmp_path / "sweep", 3, storage=address))) == 3
    assert len(optuna.load_study(study_name="search", storage=address).trials) == 3
    assert not (tmp_path / "sweep" / "journal.log").exists()
    assert [job.number for job in rest(trials(tmp_path / "sweep", 5, storage=address))] == [3, 4]
    with pytest.raises(HydraException, match=r"hydra.sweeper.storage=sqlite:.* cannot be used: .*already exists"):
        trials(tmp_path / "another", 3, storage=address)


@pytest.mark.parametrize("address", ["foo", "sqlite:////nowhere/at/all.db", "redis://localhost"])
def test_a_database_that_cannot_be_used_is_refused_and_leaves_nothing(tmp_path, address):
    with pytest.raises(HydraException, match=f"hydra.sweeper.storage={address} cannot be used: "):
        trials(tmp_path / "sweep", 1, storage=address)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(("name", "changes"), [("space", {"space": (RATE,)}), ("objectives", {"objectives": ("loss",)})])  # fmt: skip
def test_another_search_is_not_mixed_with_one_that_a_folder_holds(tmp_path, name, changes):
    rest(trials(tmp_path, 1))
    with pytest.raises(HydraException, match=f"holds a search whose {name} is"):
        trials(tmp_path, 2, **changes)
    assert [job.number for job in rest(trials(tmp_path, 2, sampler="random", seed=3))] == [1]


def test_a_sweep_that_is_no_search_is_not_gone_on_with_as_one(tmp_path):
    sweep = Sweep(tmp_path)
    sweep.create([], "")
    sweep.keep(Record(0, ["seed=1"], state="finished"))
    with pytest.raises(HydraException, match="holds a sweep that is no search"):
        trials(tmp_path, 1)


def test_a_free_slot_gets_a_trial_at_once(tmp_path):
    """Two slots, and one trial that takes as long as all others together: an event queue of what ends when."""
    source = trials(tmp_path, 8)
    ends: list[tuple[float, Job]] = []
    now, order = 0.0, []
    while True:
        while len(ends) < 2 and (job := source.next()) is not None:
            ends.append((now + (7 if job.number == 0 else 1), job))
            order.append((now, job.number))
        if not ends:
            break
        ends.sort(key=lambda each: each[0])
        now, job = ends.pop(0)
        source.ended(job, record(job))
    assert order == [(0.0, 0), (0.0, 1), (1.0, 2), (2.0, 3), (3.0, 4), (4.0, 5), (5.0, 6), (6.0, 7)]


SEARCHING = """
from hydra_plugins.idd_lightning._jobs import Sweep
from hydra_plugins.idd_lightning._pool import Pool
from hydra_plugins.idd_lightning._slots import slots_of
from tests.hydra_plugins.idd_lightning.test_pool import Screen, programs
sweep = Sweep.open(folder)
sweep.create([], "")
done = folder / "done"
job = f"time.sleep(0.05); made('finished'); open({str(done)!r}, 'a').write(f'{{number}} ')"
source = trials(folder, 8)
print(flush=True)
Pool(sweep, slots_of(2, 1, []), lambda job: None, programs(sweep, dict.fromkeys(range(8), job)), Screen()).run(source)
"""


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_ends_at_exactly_its_trials_each_finished_once(tmp_path):
    kills, over = 0, False
    while not over:
        process = python(tmp_path, SEARCHING)
        try:
            assert process.stdout.readline() == "\n"
            over = process.wait(timeout=0.1 + 0.07 * (kills % 9)) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        assert kills < 60
    assert kills > 1
    states = [trial.state for trial in study_of(tmp_path).trials]
    assert states == [TrialState.COMPLETE] * 8
    done = (tmp_path / "done").read_text().split()
    assert len(done) == len({*done})
    assert {row["number"]: row["state"] for row in read_csv(tmp_path / "sweep.csv")} == {str(n): "finished" for n in range(8)}  # fmt: skip
