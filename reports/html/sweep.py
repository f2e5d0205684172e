"""The page of a sweep, sweep.html: every number comes from the files of the sweep's folder."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from statistics import fmean, stdev
from typing import Any

from metrics.comparison import FEWEST_SEEDS
from reports.html import charts
from reports.html.render import render

PAGE = "sweep.html"
STATES = ("finished", "running", "waiting", "pruned", "stopped", "failed", "refused")
REPEATS = ("seed", "data.fold")  # keys in which the jobs of a group may differ
CURVES, COLOURED = 20, 5  # jobs that have curves, and those of them that have a style of their own
NOT_SET = "not set"  # the value of a key in jobs for which it was not typed
MOST_VALUES = 12  # of a key that are listed or have a strip
DECADES = 100  # from which ratio of the largest to the smallest value an axis is logarithmic
PAUSE = 300.0  # seconds without any job after which the sweep is taken to have been stopped in between
LINE, EDGE = 900, 70  # of the timeline, in pixels


@dataclass(frozen=True)
class Job:
    """A job of a sweep."""

    number: int
    state: str
    overrides: Mapping[str, str]  # by key, the value that was typed
    headline: str | None = None  # the name of the validation score
    history: Sequence[Mapping[str, str]] = ()  # the rows of history.csv
    score: float | None = None  # the highest validation score
    epoch: int | None = None  # in which it was first reached, counted from 1
    train_score: float | None = None  # that of train_eval in this epoch
    span: tuple[float, float] | None = (
        None  # from the start of its last attempt to its end or last heartbeat, in seconds since 1970
    )
    seconds: float | None = None  # of all attempts
    slot: int | None = None  # None: it ran elsewhere, as a job of SLURM
    most_epochs: int | None = None  # for how many a pruned one was planned
    note: str = ""  # why it failed or was refused: the last line of its log
    files: Mapping[str, str] = field(default_factory=dict)  # by name, relative to the sweep's folder


@dataclass(frozen=True)
class Search:
    """A study."""

    note: str = ""  # why it could not be read
    objectives: Sequence[str] = ()
    minimised: Sequence[bool] = ()  # of each, whether the lowest value is the best
    values: Mapping[int, Sequence[float]] = field(default_factory=dict)  # of each objective, by finished trial
    front: Sequence[int] = ()  # of several objectives: the trials than which none is better
    importance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by objective and parameter


def page(folder: str, commands: Mapping[str, str], jobs: Sequence[Job], search: Search | None) -> str:
    """Return the page of a sweep in a folder; `commands` are lines to type, by what they do."""
    ordered = sorted(jobs, key=lambda job: (job.score is None, -(job.score or 0), job.number))
    finished = [job for job in ordered if job.state == "finished" and job.score is not None]
    keys, states = differing(jobs), Counter(job.state for job in jobs)
    spans = [job.span for job in jobs if job.span]
    return render(
        "sweep.html",
        folder=folder,
        commands=commands,
        jobs=ordered,
        finished=finished,
        states=[(state, states[state]) for state in STATES if states[state]],
        keys=keys,
        columns=[
            (key, "text" if None in [number(job.overrides.get(key, "0")) for job in jobs] else "") for key in keys
        ],
        written=_date(time.time()),
        values={key: listed(jobs, key) for key in keys},
        began=_date(min(began for began, _ in spans)) if spans else None,
        ended=_date(max(ended for _, ended in spans)) if spans and not states["running"] + states["waiting"] else None,
        seconds=sum(job.seconds or 0 for job in jobs),
        groups=groups(finished),
        repeats=[key for key in REPEATS if key in keys],
        fewest=FEWEST_SEEDS,
        charts=[key_chart(jobs, key) for key in keys] if finished else [],
        curves=curves(ordered),
        coloured=COLOURED,
        timeline=timeline(jobs),
        search=search,
        trials=trial_charts(search) if search else [],
        pruning=pruning(jobs),
    )


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def number(value: str | None) -> float | None:
    """Return the number that a typed value is, None if it is none."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def differing(jobs: Sequence[Job]) -> list[str]:
    """Return the keys whose values differ between jobs, in the order in which they were typed."""
    keys = dict.fromkeys(key for job in jobs for key in job.overrides)
    return [key for key in keys if len({job.overrides.get(key) for job in jobs}) > 1]


def listed(jobs: Sequence[Job], key: str) -> str:
    """Return the values of a key: all of them, or of many numbers the range."""
    values = dict.fromkeys(job.overrides.get(key, NOT_SET) for job in jobs)
    numbers = [each for each in map(number, values) if each is not None]
    if len(values) <= MOST_VALUES:
        return ", ".join(values)
    if len(numbers) == len(values):
        return f"{min(numbers):g} to {max(numbers):g} ({len(values)} values)"
    return f"{', '.join([*values][:MOST_VALUES])} and {len(values) - MOST_VALUES} more"


def groups(finished: Sequence[Job]) -> dict[str, Any]:
    """Return groups of jobs that differ in nothing but seed or fold, by their mean score, and p of the first two having the same.

    `rows` is empty where no group has two jobs; p is None where one of the two has fewer than FEWEST_SEEDS.
    It is that of the permutation test of the difference of the means, exact up to 9,999 ways to deal the seeds.
    """
    found: dict[tuple[tuple[str, str], ...], list[Job]] = {}
    for job in finished:
        same = tuple(sorted((key, value) for key, value in job.overrides.items() if key not in REPEATS))
        found.setdefault(same, []).append(job)
    if all(len(jobs) == 1 for jobs in found.values()):
        return {"rows": [], "p": None}
    scores = {same: [job.score for job in jobs if job.score is not None] for same, jobs in found.items()}
    best = sorted(scores, key=lambda same: -fmean(scores[same]))
    rows = [
        {"settings": dict(same), "jobs": found[same], "mean": fmean(scores[same]), "sd": stdev(scores[same]) if len(scores[same]) > 1 else None}
        for same in best
    ]  # fmt: skip
    p = None
    if len(best) > 1 and min(len(scores[same]) for same in best[:2]) >= FEWEST_SEEDS:
        from scipy.stats import permutation_test

        test = permutation_test([scores[same] for same in best[:2]], lambda a, b: fmean(a) - fmean(b), vectorized=False, rng=0)  # fmt: skip
        p = float(test.pvalue)
    return {"rows": rows, "p": p}


def key_chart(jobs: Sequence[Job], key: str) -> dict[str, Any]:
    """Return the scores against a key: a scatter of numbers, on a logarithmic axis where they span two decades, or a strip per value.

    Jobs that failed without a score lie on the axis of numbers.
    """
    known = [job for job in jobs if job.score is not None or job.state == "failed"]
    x = [each for job in known if (each := number(job.overrides.get(key))) is not None]
    if len(x) == len(known):
        log = min(x) > 0 and max(x) >= DECADES * min(x)
        drawn = charts.scatter_chart(x, [job.score for job in known], log=log)
        return {"key": key, "drawn": {**drawn, "marks": [_mark(job) for job in known]}}
    scored = [(job.overrides.get(key, NOT_SET), job.score, job) for job in known if job.score is not None]
    place, ticks = charts.axis([score for _, score, _ in scored], 10, charts.WIDTH - 10)
    values = [*dict.fromkeys(value for value, _, _ in scored)]
    strips = [(value, [(place(score), _mark(job)) for its, score, job in scored if its == value]) for value in values[:MOST_VALUES]]  # fmt: skip
    return {"key": key, "strips": strips, "left_out": len(values[MOST_VALUES:]), "ticks": ticks}


def _mark(job: Job) -> tuple[str, str]:
    """The class and the title of a job in a chart."""
    kind = "cross" if job.score is None else "seed" if job.state == "pruned" else "spot"
    return kind, f"job {job.number}: {job.state if job.score is None else f'{job.score:.3f}'}"


def curves(ordered: Sequence[Job]) -> dict[str, Any]:
    """Return charts over the epochs of the best jobs, with a style of their own for the first ones."""
    best = [job for job in ordered if job.history and job.headline][:CURVES]
    styles = [*range(COLOURED), *["-rest"] * CURVES]
    runs = [(f"job {job.number}", style, job.history) for job, style in zip(best, styles, strict=False)]
    return {"jobs": best, "charts": charts.history_charts(runs[::-1], best[0].headline or "") if best else []}


def timeline(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the last attempts of each slot as bars in pixels, and which share of the slots' time was idle, without pauses of the sweep."""
    slots: dict[int, list[tuple[float, float, Job]]] = {}
    cut, until, busy = 0.0, -math.inf, 0.0
    known = [(*job.span, job.slot, job) for job in jobs if job.span and job.slot is not None]
    for began, ended, slot, job in sorted(known, key=lambda each: each[:2]):
        # What comes before the first job is a pause, too.
        cut += began - max(until, cut) if began - until > PAUSE else 0
        until, busy = max(until, ended), busy + ended - began
        slots.setdefault(slot, []).append((began - cut, ended - began, job))
    total = until - cut
    if not busy:
        return {"slots": {}}
    bars = {slot: [(round(EDGE + LINE * began / total, 1), round(max(1.0, LINE * seconds / total), 1), job) for began, seconds, job in slots[slot]] for slot in sorted(slots)}  # fmt: skip
    return {"slots": bars, "seconds": total, "idle": 1 - busy / (len(slots) * total), "width": EDGE + LINE + 10}


def trial_charts(search: Search) -> list[tuple[str, dict[str, Any]]]:
    """Return for each objective the values by trial, with a line of the best so far, and of several the second against the first."""
    trials = sorted(search.values)
    columns = [*zip(*(search.values[trial] for trial in trials), strict=True)]
    marks = [("seed" if search.front and trial not in search.front else "spot", f"trial {trial}") for trial in trials]
    found = [
        (name, charts.scatter_chart(trials, y, line=[*accumulate(y, min if minimised else max)]))
        for name, minimised, y in zip(search.objectives, search.minimised, columns, strict=False)
    ]
    found += [("front", charts.scatter_chart(*columns[:2]))] if len(columns) > 1 else []
    return [(name, {**drawn, "marks": marks}) for name, drawn in found]


def pruning(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return how many epochs were trained, and how many of those that pruned jobs were planned for were not."""
    pruned = [job for job in jobs if job.state == "pruned" and job.most_epochs]
    saved = sum((job.most_epochs or 0) - len(job.history) for job in pruned)
    trained = sum(len(job.history) for job in jobs)
    return {"jobs": len(pruned), "saved": saved, "trained": trained}
