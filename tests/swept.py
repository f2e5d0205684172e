"""Sweep folders that are made, not run: what tests of the page of a sweep share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from run_files import read_csv, read_json
from run_folder import write_csv, write_json, write_text

STARTED = "2026-01-02T03:{:02}:{:02}+00:00"


def write_sweep(folder: Path, arguments: Sequence[str] = ("seed=1,2",)) -> Path:
    """Write the folder of a sweep without jobs."""
    for name in ("jobs", "logs", "experiment"):
        (folder / name).mkdir(parents=True)
    write_json(folder / "sweep.json", {"arguments": list(arguments), "created": STARTED.format(0, 0)})
    return folder


def curve(highest: float, epochs: int) -> list[float]:
    """Validation scores that rise to a highest one in the last epoch but one."""
    rising = [highest * (1 - 0.5 ** (i + 1)) for i in range(epochs)]
    return [*rising[: max(0, epochs - 2)], highest, highest - 0.01][:epochs] if epochs > 1 else [highest] * epochs


def write_job(
    folder: Path,
    number: int,
    overrides: Sequence[str],
    state: str = "finished",
    scores: Sequence[float] = (),
    *,
    log: str = "",
    planned: int = 0,
    **facts: Any,
) -> Path:
    """Write the record of a job, its log and, where it has `scores` of epochs, its run; by default it takes a minute in one of two slots."""
    record = {"number": number, "overrides": list(overrides), "hash": f"{number:x}", "state": state, "exit_code": 0, "attempts": 1,
              "started": STARTED.format(number // 2 % 60, 0), "seconds": 60.0, "slot": number % 2, "epochs": len(scores), "headline": "f1_macro",
              "scores": {}, "parameters": 100}  # fmt: skip
    write_json(folder / "jobs" / f"{number}.json", {**record, **facts})
    write_text(folder / "logs" / f"{number}.log", log)
    run = folder / str(number)
    if scores:
        run.mkdir()
        write_json(run / "environment.json", {"headline": "f1_macro", "parameters": 100})
        write_text(run / "config.yaml", f"trainer:\n  max_epochs: {planned or len(scores)}\n")
        write_json(run / "status.json", {"state": state, "heartbeat": STARTED.format(number // 2 % 60, 30)})
        rows = [
            {"epoch": i, "step": 4 * i + 4, "train/loss": 2 / (i + 1), "train_eval/f1_macro": score + 0.05, "val/loss": 1.5 - score, "val/f1_macro": score}
            for i, score in enumerate(scores)
        ]  # fmt: skip
        write_csv(run / "history.csv", rows)
    return run


def write_table(folder: Path, waiting: dict[int, Sequence[str]]) -> None:
    """Write the rows of sweep.csv that the page reads: those of jobs that wait."""
    write_csv(folder / "sweep.csv", [{"number": number, "overrides": " ".join(typed), "state": "waiting"} for number, typed in waiting.items()])  # fmt: skip


def write_many(folder: Path, count: int, extra: Sequence[str] = ()) -> Path:
    """Write a sweep over learning rate, model and seed, whose jobs end in different ways."""
    draws = np.random.default_rng(0)
    write_sweep(folder, ["optimizer.lr=1e-5,1e-3", "model=custom_cnn,resnet18", "seed=1,2,3", *extra])
    for i in range(count):
        rate = float(f"{10 ** draws.uniform(-5, -1):.2g}")
        typed = [f"optimizer.lr={rate:g}", f"model={['custom_cnn', 'resnet18'][i % 2]}", f"seed={i % 3}", *extra]
        highest = float(np.clip(0.8 - 0.1 * abs(np.log10(rate) + 3) + 0.05 * (i % 2) + draws.normal(0, 0.02), 0, 1))
        if i % 10 == 7:
            write_job(folder, i, typed, "failed", log="Epoch 1\nThe loss is not finite: nan\n", exit_code=1)
        elif i % 10 == 8:
            write_job(folder, i, typed, "refused", log="data.batch_size=3 does not divide\n", exit_code=2, seconds=3.0)
        elif i % 10 == 9:
            write_job(folder, i, typed, "pruned", curve(highest - 0.1, 3), planned=10, seconds=20.0)
        else:
            write_job(folder, i, typed, "finished", curve(highest, 10))
    return folder


def write_study(folder: Path, directions: Sequence[str]) -> Any:
    """Write the study of `write_many`'s jobs: the highest score and, as a second objective, a number that follows from the job's."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    study = optuna.create_study(study_name="search", storage=storage, directions=list(directions))
    rates = optuna.distributions.FloatDistribution(1e-6, 1, log=True)
    models = optuna.distributions.CategoricalDistribution(["custom_cnn", "resnet18"])
    for path in sorted((folder / "jobs").glob("*.json"), key=lambda path: int(path.stem)):
        record = read_json(path)
        typed = dict(each.split("=") for each in record["overrides"])
        finished, values = record["state"] == "finished", [0.0, record["number"] * 37 % 101 / 10]
        if finished:
            values[0] = max(float(row["val/f1_macro"]) for row in read_csv(folder / path.stem / "history.csv"))
        study.add_trial(optuna.trial.create_trial(
            state=optuna.trial.TrialState.COMPLETE if finished else optuna.trial.TrialState.FAIL,
            params={"optimizer.lr": float(typed["optimizer.lr"]), "model": typed["model"]},
            distributions={"optimizer.lr": rates, "model": models},
            values=values[: len(directions)] if finished else None,
        ))  # fmt: skip
    names = ["headline", "seconds"][: len(directions)]
    facts = {"storage": None, "study": "search", "objectives": names, "sampler": "tpe", "pruner": None, "seed": 0}
    write_json(folder / "search.json", facts)
    return study
