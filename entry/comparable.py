"""Which evaluations a comparison reads, and whether they can be compared: the same samples, truth and rules of scoring."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from entry.common import merge_classes, merged_scores
from entry.config.paths import no_run
from entry.config.run_config import stored_settings
from entry.errors import RequestError
from metrics.class_sums import TRUE, image_scores, mean_scores, sums_by_group
from reports.comparison import Evaluated, Merged
from reports.evaluation_files import read_samples, read_scores
from run_files import EpochRow, read_rows
from run_folder import RunFolder, is_run
from settings.base import as_typed

SPLITS = ("test", "val", "train")  # in the order in which one that all runs have is looked for
FILES = ("scores.json", "per_sample.npz", "config.yaml")
TOLERANCE = 1e-9  # between an accuracy in scores.json and the same from the counts
ALLOWED = ("resolution", "looks")  # parts of the policy that allow_different may name


def run_folders(runs: str | Sequence[str]) -> list[Path]:
    """The run folders that `runs=` names; of the folder of a sweep those of its runs that have an evaluation.

    Raises RequestError with a line for each path that is neither, and for a run that is named twice.
    """
    found: list[Path] = []
    problems = []
    for path in map(Path, [runs] if isinstance(runs, str) else runs):
        jobs = sorted((each for each in path.glob("*") if each.name.isdigit() and is_run(each)), key=lambda job: int(job.name))  # fmt: skip
        if is_run(path):
            found.append(path)
        elif jobs:
            complete = [job for job in jobs if evaluated_splits(job)]
            found += complete or jobs
            if left := [job.name for job in jobs if job not in complete]:
                print(f"note: {path}: left out, without an evaluation: {', '.join(left)}")
        else:
            problems.append(no_run("runs", path))
    twice = [path for i, path in enumerate(found) if path.resolve() in {each.resolve() for each in found[:i]}]
    problems += [f"runs: {path} is named twice. Name it once." for path in dict.fromkeys(twice)]
    if problems:
        raise RequestError("\n".join(problems))
    return found


def evaluated_splits(run: Path) -> list[str]:
    """The splits that a run has a complete evaluation of."""
    return [split for split in SPLITS if all((run / "evaluation" / split / name).is_file() for name in FILES)]


def choose_split(runs: Sequence[Path], wanted: str | None) -> str:
    """The split to compare: the wanted one, or the first that all runs have an evaluation of. Raises RequestError."""
    has = {run: evaluated_splits(run) for run in runs}
    common = [split for split in SPLITS if all(split in splits for splits in has.values())]
    if wanted in common or (wanted is None and common):
        return wanted or common[0]
    which = wanted or max(SPLITS, key=lambda split: sum(split in splits for splits in has.values()))
    lines = [f"The runs have no evaluation of the same split{f' {wanted}' if wanted else ''}:"]
    for run, splits in has.items():
        evaluate = f" Type: python evaluate.py run={run} split={which}" if which not in splits else ""
        lines.append(f"  {run} has {' and '.join(splits) or 'none'}.{evaluate}")
    raise RequestError("\n".join(lines))


def read_evaluations(runs: Sequence[Path], split: str, over: str | None = None) -> list[Evaluated]:
    """Read the evaluations of a split, with `over` ``common`` in the classes that all can express.

    Raises RequestError, LabelSpaceError or RunFolderError for files that are damaged or hold no scores, or where classes have nothing in common.
    """
    names = _names(runs)
    merged = [None] * len(runs) if over is None else merge_classes(runs, split)
    return [_read(run, name, split, each) for run, name, each in zip(runs, names, merged, strict=True)]


def _read(run: Path, name: str, split: str, merged: Merged | None) -> Evaluated:
    folder = run / "evaluation" / split
    scores = read_scores(folder / "scores.json")
    if scores["accuracy"] is None:
        raise RequestError(f"{folder} has no scores, as its samples have no truth.")
    before, number = "uncrossed_" if merged and merged.crossed else "", len(scores["classes"])
    facts = read_samples(folder / "per_sample.npz", number)
    try:
        indptr, cell, count = (facts[before + key] for key in ("indptr", "cell", "count"))
        names, groups = facts["sample"], facts["group"]
        if merged is not None:
            number, cell = len(merged.space.classes), merged.cells(cell)
        sums = sums_by_group(np.unique(groups, return_inverse=True)[1], indptr, cell, count, number)
    except LookupError as error:
        raise RequestError(f"{folder / 'per_sample.npz'} is damaged: {error}. Evaluate the run again.") from None
    if merged is None and abs(float(mean_scores(sums.sum(0))["accuracy"]) - scores["accuracy"]) > TOLERANCE:
        raise RequestError(
            f"{folder}: scores.json has an accuracy that does not follow from per_sample.npz: one of them was changed. "
            "Evaluate the run again."
        )
    if "target" in facts:
        values, wrong = np.exp(-facts["loss"].astype(np.float64)), 1.0 * (facts["target"] != facts["prediction"])
    else:
        values, wrong = image_scores(indptr, cell, count, number)
    order = np.argsort(names, kind="stable")
    history = RunFolder(run).history
    return Evaluated(
        path=run,
        name=name,
        settings=stored_settings(RunFolder(folder)),
        scores=scores if merged is None else merged_scores(scores, sums, merged.space.classes),
        samples=names[order],
        groups=groups[order],
        sums=sums,
        values=values[order],
        wrong=wrong[order],
        predictions={key: facts[key][order] for key in ("target", "prediction", "probability") if key in facts},
        history=read_rows(history, EpochRow),
        merged=merged,
    )


def _names(runs: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as make them unique."""
    for number in range(1, 1 + max(len(run.parts) for run in runs)):
        names = ["/".join(run.parts[-number:]) for run in runs]
        if len({*names}) == len(names):
            return names
    return [str(run) for run in runs]


def check_comparable(evaluations: Sequence[Evaluated], allowed: Sequence[str]) -> list[str]:
    """Raise RequestError saying how evaluations differ where they must not; return notes on what is allowed to differ."""
    first, *others = evaluations
    problems = [problem for other in others for problem in _differences(first, other, allowed)]
    if problems:
        raise RequestError("These runs cannot be compared:\n" + "\n".join(f"  {line}" for line in problems))
    return [
        f"{other.name} was scored with another {key} ({_policy(other, key)}) than {first.name} ({_policy(first, key)})."
        for other in others
        for key in ALLOWED
        if _policy(first, key) != _policy(other, key)
    ]


def _policy(evaluation: Evaluated, key: str) -> str:
    return as_typed(evaluation.scores["policy"].get(key))


def _differences(first: Evaluated, other: Evaluated, allowed: Sequence[str]) -> Iterator[str]:
    """How two evaluations differ in what their scores depend on."""
    both = f"{first.name} and {other.name}"
    for key, what in (("task", "task"), ("split", "split")):
        if first.scores[key] != other.scores[key]:
            yield f"{both}: different {what}s, {first.scores[key]} and {other.scores[key]}."
            return
    if first.classes != other.classes:
        spaces = f"{first.scores['label_space']} ({len(first.classes)}) and {other.scores['label_space']} ({len(other.classes)})"
        masks = first.scores["task"] == "segmentation" and first.merged is None
        remedy = " To compare them over the classes that all can express, type over=common" if masks else ""
        yield f"{both}: different classes, {spaces}.{remedy}"
        return
    differing = {}
    for key in first.scores["policy"]:
        values = [_policy(each, key) for each in (first, other)]
        unknown = key == "looks" and "null" in values  # of masks that were made elsewhere
        if values[0] != values[1] and key not in allowed and not unknown:
            differing[key] = f"{key} {values[0]} and {values[1]}"
    if differing:
        may = differing.keys() <= {*ALLOWED}
        remedy = f" To compare them all the same, type allow_different=[{','.join(differing)}]" if may else ""
        yield f"{both}: scored by different policies, {', '.join(differing.values())}.{remedy}"
    yield from _of_samples(first, other, both)


def _of_samples(first: Evaluated, other: Evaluated, both: str) -> Iterator[str]:
    if first.samples.tolist() != other.samples.tolist():
        one, two = ({*each.samples.tolist()} for each in (first, other))
        such = f", such as {min(one ^ two)} in one only" if one != two else ""
        yield (
            f"{both}: scored on different samples, {len(first.samples)} and {len(other.samples)}, of which {len(one & two)} are the same{such}. "
            "Compare runs that share data.split_seed, data.fraction and the other keys of the split."
        )
    elif first.groups.tolist() != other.groups.tolist():
        yield f"{both}: the same samples belong to different drives."
    elif (first.sums[:, TRUE] != other.sums[:, TRUE]).any() and _policy(first, "resolution") == _policy(other, "resolution"):  # fmt: skip
        drives = int((first.sums[:, TRUE] != other.sums[:, TRUE]).any(1).sum())
        yield f"{both}: scored by different truth, in {drives} of {len(first.sums)} drives (samples, without drives)."
