"""The page of a sweep: what the files in its folder hold. Needs no torch."""

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from entry.comparable import SPLITS, evaluated_splits
from entry.request import Request
from hydra_plugins.idd_lightning._jobs import Record, Sweep, best_row, last_lines
from reports.html.sweep import PAGE, Job, Search, number, page
from run_files import Environment, EpochRow, SearchFile, StatusFile, SweepFile, SweepRow, read_csv, read_json, read_rows
from run_folder import HEARTBEAT_SECONDS, SWEEP, RunFolder, write_text
from settings.base import override
from settings.run import PageKeys

if TYPE_CHECKING:
    import optuna

LONGEST_NOTE = 300  # characters
SILENCE = 4 * HEARTBEAT_SECONDS  # after which a running job is taken to have been killed
FEWEST_TRIALS = 10  # from which on importances are given


def sweep_folder(request: Request) -> Path | None:
    """The folder of a sweep where `runs=` names one and nothing else; None where no page or a requirement is wanted, too."""
    runs = [request.keys.runs] if isinstance(request.keys.runs, str) else request.keys.runs or []
    page_only = len(runs) == 1 and request.of(PageKeys).report.html and request.keys.require is None
    return Path(runs[0]) if page_only and (Path(runs[0]) / SWEEP).is_file() else None


def is_evaluated(folder: Path, split: str | None) -> bool:
    """Whether a sweep has two finished jobs or more, and an evaluation of each, of a split where one is given; never of folds."""
    sweep = Sweep.open(folder)
    finished = [record for record in sweep.records.values() if record.state == "finished"]
    splits = [evaluated_splits(sweep.folder(record.number)) for record in finished]
    folds = any("data.fold" in _by_key(record.overrides) for record in finished)
    return len(finished) > 1 and not folds and all(found and (split or found[0]) in found for found in splits)


def write(folder: Path) -> Path:
    """Write sweep.html into a sweep's folder, and return its path. Raises RunFolderError for damaged files."""
    jobs = [*_jobs(Sweep.open(folder))]
    headline = next((job.headline for job in jobs if job.headline), "headline")
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    commands = {"repeat": shlex.join(["python", "train.py", "-m", *read_json(folder / SWEEP, SweepFile)["arguments"]])}
    if (folder / "experiment" / "best.yaml").is_file():
        commands["best"] = f"python train.py {shlex.quote(f'--config-dir={shown}')} experiment=best"
        commands["score"] = f"python evaluate.py {override('sweep', str(shown))}"
    if {"waiting", "running", "stopped"} & {job.state for job in jobs}:
        commands["resume"] = f"python train.py -m {override('sweep.resume', str(shown))}"
    write_text(folder / PAGE, page(str(shown), commands, jobs, _search(folder, headline)))
    return folder / PAGE


def _jobs(sweep: Sweep) -> Iterator[Job]:
    """The jobs by their records, then those that wait and have none yet."""
    for _, record in sorted(sweep.records.items()):
        yield _job(sweep, record)
    table = sweep.path / "sweep.csv"
    for row in read_csv(table, SweepRow) if table.is_file() else ():
        if int(row["number"]) not in sweep.records:
            typed = re.split(r" (?=[+~]*[\w./@-]+=)", row["overrides"])
            yield Job(int(row["number"]), row["state"], _by_key(typed))


def _by_key(overrides: Sequence[str]) -> dict[str, str]:
    parts = (each.partition("=") for each in overrides)
    return {key.lstrip("+"): value for key, _, value in parts}


def _job(sweep: Sweep, record: Record) -> Job:
    run, log = RunFolder(sweep.folder(record.number)), sweep.log(record.number)
    history = read_rows(run.history, EpochRow)
    headline = read_json(run.environment, Environment).get("headline") if run.environment.is_file() else None
    best = best_row(history, f"val/{headline}")
    status = read_json(run.status, StatusFile) if run.status.is_file() else {}
    began, beat, running = _time(record.started), _time(status.get("heartbeat")), record.state == "running"
    ended = beat if running or record.attempts > 1 else None
    note = "".join(last_lines(log, 1))[:LONGEST_NOTE] if record.state in ("failed", "refused") else ""
    if running and beat is not None and datetime.now(UTC).timestamp() - beat > SILENCE:
        note = f"last heartbeat: {status['heartbeat']}"
    planned = run.config if record.state == "pruned" and run.config.is_file() else None
    return Job(
        number=record.number,
        state=record.state,
        overrides=_by_key(record.overrides),
        headline=headline,
        history=history,
        score=None if best is None else number(best[f"val/{headline}"]),
        epoch=None if best is None else int(best["epoch"]) + 1,
        train_score=None if best is None else number(best.get(f"train_eval/{headline}")),
        span=None if began is None else (began, max(began, ended or began + (record.seconds or 0))),
        seconds=record.seconds,
        slot=record.slot,
        most_epochs=yaml.load(planned.read_bytes(), yaml.CSafeLoader)["trainer"]["max_epochs"] if planned else None,
        note=note,
        files=dict(_files(sweep.path, run, log)),
    )


def _time(text: str | None) -> float | None:
    with contextlib.suppress(ValueError):  # somebody else's file
        return datetime.fromisoformat(text).timestamp() if text else None
    return None


def _files(folder: Path, run: RunFolder, log: Path) -> Iterator[tuple[str, str]]:
    pages = [(f"evaluation of {split}", run.evaluation(split) / "report.html") for split in SPLITS]
    for name, path in [("folder", run.path), ("log", log), ("config.yaml", run.config), ("history.csv", run.history), *pages]:  # fmt: skip
        if path.exists():
            yield name, path.relative_to(folder).as_posix()


def _search(folder: Path, headline: str) -> Search | None:
    """The study of a search, None where the sweep is none."""
    if not (folder / "search.json").is_file():
        return None
    facts = read_json(folder / "search.json", SearchFile)
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = facts["storage"] or JournalStorage(JournalFileBackend(str(folder / "journal.log")))
        study = optuna.load_study(study_name=facts["study"], storage=storage)
        trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    except Exception as error:  # noqa: BLE001  a database has many: the page is written without it
        return Search(note=f"The study {facts['study']} could not be read: {error}")
    names = [headline if name == "headline" else name for name in facts["objectives"]]
    return Search(
        objectives=names,
        minimised=[direction == optuna.study.StudyDirection.MINIMIZE for direction in study.directions],
        values={trial.number: trial.values for trial in trials},
        front=[trial.number for trial in study.best_trials] if len(names) > 1 else [],
        importance={name: _importance(study, place) for place, name in enumerate(names)} if len(trials) >= FEWEST_TRIALS else {},
    )  # fmt: skip


def _importance(study: "optuna.Study", place: int) -> dict[str, float]:
    """The share of each parameter in the variance of an objective, by fANOVA; depth 8 gives what 64 does, in a tenth of the time."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    evaluator = FanovaImportanceEvaluator(n_trees=32, max_depth=8, seed=0)
    with contextlib.suppress(RuntimeError):  # all values, or all parameters, are equal
        return get_param_importances(study, evaluator=evaluator, target=lambda trial: trial.values[place])
    return {}
