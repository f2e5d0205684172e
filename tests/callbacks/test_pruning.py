"""Pruning, against Optuna's own loop on the same curves."""

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from callbacks.checkpoints import Checkpoints
from callbacks.pruning import Pruning, RunPruned
from callbacks.signals import StopSignal
from lightning_modules.checkpoint_io import CheckpointFiles
from run_folder import write_json
from settings.training import CheckpointingSettings
from tests.callbacks.tiny import Feeder, Line, trainer

EPOCHS = 9


class Curve(Line):
    """Has the given score after each epoch."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def on_validation_epoch_end(self):
        self.log("val/f1_macro", self.scores[self.current_epoch])
        self.log("val/loss", 1 - self.scores[self.current_epoch])


def search(folder, pruner="median", objective="headline", direction="maximize"):
    """A search in a folder, as the sweeper begins it."""
    write_json(
        folder / "search.json", {"storage": None, "study": "search", "objectives": [objective], "pruner": pruner}
    )
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.create_study(storage=storage, study_name="search", direction=direction)


def fit(folder, number, scores):
    """Train a run that is a trial; true where it was not pruned."""
    checkpoints = Checkpoints(folder / str(number), "val/f1_macro", StopSignal(), CheckpointingSettings())
    callbacks = [Pruning(folder, number, "f1_macro"), checkpoints]
    run = trainer(
        folder, callbacks, epochs=len(scores), plugins=[CheckpointFiles()], enable_checkpointing=True, max_steps=-1
    )
    try:
        run.fit(Curve(scores), datamodule=Feeder())
    except RunPruned:
        return False
    return True


def curves(number):
    """Rising curves of which some stay behind."""
    draws = np.random.default_rng(3)
    ends = draws.uniform(0.2, 0.9, number)
    rising = 1 - np.exp(-np.arange(1, EPOCHS + 1) / draws.uniform(1, 5, (number, 1)))
    return (ends[:, None] * rising + draws.normal(0, 0.02, (number, EPOCHS))).astype(np.float32).astype(float).tolist()


@pytest.mark.parametrize(("pruner", "theirs", "objective", "direction"), [
    ("median", optuna.pruners.MedianPruner(), "headline", "maximize"),
    ("hyperband", optuna.pruners.HyperbandPruner(max_resource=EPOCHS), "loss", "minimize"),
])  # fmt: skip
def test_runs_are_pruned_where_optunas_own_loop_prunes(tmp_path, pruner, theirs, objective, direction):
    known = curves(10)
    seen = known if objective == "headline" else (1 - np.array(known, np.float32)).astype(float).tolist()
    best = max if direction == "maximize" else min

    def their_objective(trial):
        for epoch, score in enumerate(seen[trial.number], start=1):
            trial.report(score, epoch)
            if epoch < EPOCHS and trial.should_prune():
                raise optuna.TrialPruned
        return best(seen[trial.number])

    reference = optuna.create_study(study_name="search", direction=direction, pruner=theirs)
    reference.optimize(their_objective, n_trials=len(known))
    study = search(tmp_path, pruner, objective, direction)
    for number, scores in enumerate(known):
        study.ask()
        if fit(tmp_path, number, scores):
            study.tell(number, best(seen[number]))
        else:
            study.tell(number, state=TrialState.PRUNED)
    assert [trial.state for trial in study.trials] == [trial.state for trial in reference.trials]
    for ours, expected in zip(study.trials, reference.trials, strict=True):
        assert ours.intermediate_values == pytest.approx(expected.intermediate_values)
    assert {TrialState.PRUNED, TrialState.COMPLETE} <= {trial.state for trial in study.trials}


def with_good_trials(folder, **settings):
    """A study in which a score below 0.8 after the first epoch is pruned; its next trial is number 5."""
    study = search(folder, **settings)
    for _ in range(5):
        trial = study.ask()
        trial.report(0.8, 1)
        study.tell(trial, 0.8)
    return study


def test_a_pruned_run_has_saved_its_state(tmp_path):
    with_good_trials(tmp_path).ask()
    assert not fit(tmp_path, 5, [0.5] * 4)
    assert sorted(path.name for path in (tmp_path / "5").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_an_epoch_is_reported_once(tmp_path):
    study = with_good_trials(tmp_path)
    study.ask().report(0.9, 1)  # as the run did before it was killed
    assert fit(tmp_path, 5, [0.85] * 3)
    assert study.trials[5].intermediate_values == pytest.approx({1: 0.9, 2: 0.85, 3: 0.85})


def test_the_last_epoch_is_not_judged(tmp_path):
    study = with_good_trials(tmp_path)
    study.ask()
    assert fit(tmp_path, 5, [0.5])
    assert study.trials[5].intermediate_values == {1: 0.5}


def test_a_trial_that_has_ended_is_left_as_it_is(tmp_path):
    study = with_good_trials(tmp_path)
    study.tell(study.ask(), state=TrialState.PRUNED)
    assert fit(tmp_path, 5, [0.5] * 3)
    assert study.trials[5].intermediate_values == {}


@pytest.mark.parametrize("damage", [lambda f: (f / "journal.log").unlink(), lambda f: (f / "journal.log").write_text("?\n?\n"), lambda f: None])  # fmt: skip
def test_a_search_that_cannot_be_reached_ends_no_run(tmp_path, damage, capsys):
    with_good_trials(tmp_path)  # and no trial 5
    damage(tmp_path)
    assert fit(tmp_path, 5, [0.5] * 2)
    assert "Nothing is pruned now: trial 5 of the search" in capsys.readouterr().err
