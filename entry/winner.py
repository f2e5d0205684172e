"""The best job of a sweep, or the best seeds of one recipe: chosen by validation scores, then scored once."""

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entry.comparison import matters
from entry.config.run_config import of_one_machine, stored_settings, with_overrides
from entry.config.targets import check_targets
from entry.errors import RequestError
from entry.request import Request
from reports.evaluation_files import read_scores
from reports.formatting import with_interval
from run_files import Environment, SweepRow, read_csv, read_json
from run_folder import SWEEP, RunFolder, write_json
from settings.changes import flat

WINNER = "winner.json"
POOLED = "cross_validation"  # folder of the folds' evaluations together
TRIED, LEFT = (
    ("finished", "pruned"),
    ("waiting", "running", "stopped"),
)  # states: among which one is chosen, and to come
WITHIN = ("seed", "data.fold")  # settings that differ within a recipe


@dataclass(frozen=True)
class Recipe:
    """The finished jobs of a sweep that differ in nothing but the seed, or the fold of a cross-validation."""

    runs: list[RunFolder]
    headline: str
    values: list[float]  # the validation score of each

    @property
    def mean(self) -> float:
        """The mean validation score."""
        return statistics.fmean(self.values)


def recipes_of(sweep: Path) -> list[Recipe]:
    """The recipes of a sweep, the best first. Raises RequestError where no job has finished, or they have different tasks."""
    table = sweep / "sweep.csv"
    if not (sweep / SWEEP).is_file() or not table.is_file():
        raise RequestError(f"sweep={sweep}: no sweep.json in it, so it is not the folder of a sweep. Give the one that train.py -m has printed.")  # fmt: skip
    found: dict[str, list[tuple[RunFolder, str, float]]] = defaultdict(list)
    for row in read_csv(table, SweepRow):
        if row["state"] != "finished":
            continue
        run = RunFolder.open(sweep / row["folder"])
        headline = str(read_json(run.environment, Environment)["headline"])
        settings = flat(stored_settings(run)).items()
        kept = {key: value for key, value in settings if matters(key, WITHIN)}
        if score := row[f"val/{headline}"]:  # of one without a validation score nothing is known
            found[json.dumps(kept, sort_keys=True)].append((run, headline, float(score)))
    recipes = [Recipe([r for r, *_ in jobs], jobs[0][1], [value for *_, value in jobs]) for jobs in found.values()]
    if not recipes:
        raise RequestError(
            f"sweep={sweep}: no job has finished. Go on with it: python train.py -m sweep.resume={sweep}"
        )
    if len(headlines := sorted({recipe.headline for recipe in recipes})) > 1:
        raise RequestError(f"sweep={sweep}: its jobs have different scores ({', '.join(headlines)}), so none is the best. Evaluate one: run=…")  # fmt: skip
    return sorted(recipes, key=lambda recipe: recipe.mean, reverse=True)


def evaluate_winner(request: Request, folder: str) -> None:
    """Score the winner's runs on the reported split, once, and print its scores. Raises a request error."""
    sweep = Path(folder)
    if request.keys.run is not None:
        raise RequestError("run= and sweep= exclude each other: a sweep's winner is chosen by its jobs' validation scores. Leave one out.")  # fmt: skip
    recipes = recipes_of(sweep)
    winner, states = recipes[0], [row["state"] for row in read_csv(sweep / "sweep.csv", SweepRow)]
    number = sum(state in TRIED for state in states)
    if left := sum(state in LEFT for state in states):
        print(
            f"note: {left} of {len(states)} jobs have not ended. Go on with them: python train.py -m sweep.resume={sweep}"
        )
    names, several = ", ".join(run.path.name for run in winner.runs), len(winner.runs) > 1
    among = f"the best of {len(recipes)} recipes in {number} jobs" if several else f"the best of {number} jobs"
    chosen = "the only recipe" if len(recipes) == 1 else among
    print(f"winner: job{'s' if several else ''} {names}, val/{winner.headline} {winner.mean:.3f}, {chosen}")
    scores = [_scored(request, run) for run in winner.runs]
    facts: dict[str, Any] = {
        "jobs": [run.path.name for run in winner.runs],
        "score": f"val/{winner.headline}",
        "value": winner.mean,
    }
    write_json(sweep / WINNER, {**facts, "of_jobs": number, "of_recipes": len(recipes), "split": scores[0]["split"]})
    if stored_settings(winner.runs[0]).data.folds is not None:
        _pool(sweep, winner, request.keys.split or "test")
    elif len(scores) > 1:
        values = [each[winner.headline] for each in scores]
        spread = f"standard deviation over {len(values)} seeds {statistics.stdev(values):.3f}"
        print(f"{scores[0]['split']}: {winner.headline} {statistics.fmean(values):.3f}, {spread}")
    if len(scores) > 1:
        print(sweep, flush=True)


def _pool(sweep: Path, winner: Recipe, split: str) -> None:
    """Score the folds of a cross-validation together, of each seed by itself, and print the result."""
    from entry.folds import pool

    seeds: dict[int, list[Path]] = defaultdict(list)
    for run in winner.runs:
        seeds[stored_settings(run).seed].append(run.path)
    for seed, runs in seeds.items():
        out = sweep / (POOLED if len(seeds) == 1 else f"{POOLED}_seed{seed}")
        scores = pool(runs, split, out=out)
        value = with_interval(scores[winner.headline], (scores["intervals"] or {}).get(winner.headline))
        spread = scores["folds"]["sd"].get(winner.headline)
        folds = "" if spread is None else f"; standard deviation of the {len(runs)} folds' own scores {spread:.3f}"
        print(f"out of fold{'' if len(seeds) == 1 else f', seed {seed}'}: {winner.headline} {value}{folds}; {out}")


def _scored(request: Request, run: RunFolder) -> dict[str, Any]:
    """The scores of a run on the reported split, evaluated unless it has been."""
    from entry.evaluation.summary import print_summary, reported_split
    from entry.trained import evaluate_trained

    settings = of_one_machine(with_overrides(run, request)[1], request)
    check_targets(settings, request.allow)
    split = request.keys.split or reported_split(run)
    if (run.evaluation(split) / "scores.json").exists():
        print(f"{run.path} has been scored on {split} already; it is not scored again.")
    else:
        split = evaluate_trained(request, run, settings)
    print_summary(run, split)
    scores: dict[str, Any] = read_scores(run.evaluation(split) / "scores.json")
    return scores
