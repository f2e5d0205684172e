"""A run that is pruned, from the command line: with one process and with two."""

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from run_files import read_csv, read_json
from run_folder import SWEEP, write_json


@pytest.fixture
def sweep(tmp_path):
    """A search whose pruner ends its trials 5 and 6 after their first epoch: the five before them were perfect by then."""
    folder = tmp_path / "sweep"
    folder.mkdir()
    write_json(folder / SWEEP, {"arguments": [], "created": ""})
    write_json(
        folder / "search.json", {"storage": None, "study": "search", "objectives": ["headline"], "pruner": "median"}
    )
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    study = optuna.create_study(storage=storage, study_name="search", direction="maximize")
    for _ in range(5):
        trial = study.ask()
        trial.report(1.1, 1)
        study.tell(trial, 1.1)
    study.ask()
    study.ask()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "typed"),
    [
        ("5", ["trainer=cpu"]),
        ("6", ["trainer=ddp_cpu", "trainer.devices=2"]),
    ],
)
def test_a_pruned_run_is_no_failure_and_can_be_trained_to_its_end_by_hand(
    run_command, sweep, image_folder, number, typed
):
    """Its score, at most 1, is below those of all others after the first epoch."""
    run = sweep / number
    data = ["data=image_folder", f"data.root={image_folder}", "data.num_workers=0", "logger=csv"]
    answer = run_command("train", *data, *typed, "trainer.max_epochs=3", f"hydra.run.dir={run}")
    assert (answer.code, answer.folder) == (0, run), answer.err
    status = read_json(run / "status.json")
    assert (status["state"], status["exit_code"]) == ("pruned", 0)
    score = float(read_csv(run / "history.csv")[0]["val/f1_macro"])
    assert status["error"] == f"Pruned after epoch 1 of 3: val/f1_macro {score:.3f}"
    assert answer.err.splitlines()[-1] == status["error"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    storage = JournalStorage(JournalFileBackend(str(sweep / "journal.log")))
    study = optuna.load_study(study_name="search", storage=storage)
    assert study.trials[int(number)].intermediate_values == {1: pytest.approx(score)}
    study.tell(int(number), state=TrialState.PRUNED)  # as the sweep does
    answer = run_command("train", f"resume={run}")
    assert (answer.code, read_json(run / "status.json")["state"]) == (0, "finished"), answer.err
    assert len(read_csv(run / "history.csv")) == 3
    assert len(study.trials[int(number)].intermediate_values) == 1
