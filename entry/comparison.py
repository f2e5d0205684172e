"""Comparing runs: which of them are seeds of one recipe, what they differ in, and what is written."""

import shlex
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from entry.comparable import check_comparable, choose_split, read_evaluations, run_folders
from entry.comparison_pictures import pictures
from entry.errors import RequestError
from entry.request import Request
from entry.requirement import Condition, check_names
from metrics.class_sums import MEANS, PER_CLASS
from metrics.comparison import Statistics, compare_recipes, compare_runs, holm_over_pairs, recipe_scores
from reports.comparison import COLUMNS, Comparison, Evaluated, Pair, Recipe, csv_rows, latex, sentences, table
from reports.html.comparison import PAGE, Gallery, write_page
from run_folder import free_name, write_csv, write_text
from settings.base import as_typed
from settings.changes import changes, flat
from settings.run import PageKeys, RunSettings
from streams import printable

# In the order in which they are shown; recipes are judged by the first.
HEADLINE = {"classification": ("f1_macro", "f1_weighted", "accuracy"), "segmentation": ("miou", "fwiou", "accuracy")}
PER_CLASS_OF = {"classification": "f1", "segmentation": "iou"}
SEED = ("seed",)
# Where a run was made, and what it wrote: of no influence on what it learnt.
BESIDE = ("data.root", "data.num_workers", "data.cache", "data.cache_dir", "data.stage", "trainer.progress", "trainer.timeout", "checkpointing.", "logger.", "report.",
          "sweep.", "run", "resume", "resume_with_changes", "split", "checkpoint")  # fmt: skip
MOST_NAMED = 12  # keys in a note


def recipes_of(request: Request, required: Sequence[Condition]) -> list[list[Evaluated]]:
    """The evaluations that `runs=` names, those that differ in nothing but the seed together.

    Raises RequestError where there are too few, or they cannot be compared.
    """
    keys = request.keys
    if keys.runs is None:
        raise RequestError("runs is missing. Type the folders of runs to compare: 'runs=[RUN_FOLDER,RUN_FOLDER]'")
    folders = run_folders(keys.runs)
    if len(folders) < 2 and not required:
        raise RequestError(
            f"runs: {folders[0]} is one run. Type two or more, or what it needs to have: require='miou>=0.68'"
        )
    evaluations = read_evaluations(folders, choose_split(folders, keys.split), keys.over)
    for note in check_comparable(evaluations, keys.allow_different):
        print(f"note: {printable(note)}")
    check_names(required, evaluations[0].scores)
    groups: list[list[Evaluated]] = []
    for each in evaluations:
        same = next((group for group in groups if not [*differing(group[0].settings, each.settings)]), None)
        groups.append([each]) if same is None else same.append(each)
    return groups if len(groups) > 1 else [[each] for each in evaluations]


def differing(first: RunSettings, second: RunSettings, beside: Sequence[str] = SEED) -> Iterator[str]:
    """The keys of settings that differ, without those that have no influence."""
    yield from (key for key in changes(first, second) if matters(key, beside))


def matters(key: str, beside: Sequence[str] = SEED) -> bool:
    """Whether a setting has an influence on what a run learns, those `beside` left out."""
    return not any(key == each or (each.endswith(".") and key.startswith(each)) for each in (*BESIDE, *beside))


def compare(groups: Sequence[Sequence[Evaluated]], required: Sequence[Condition]) -> Comparison:
    """Compare each pair of recipes in the headline scores, each class, and what is required."""
    first = groups[0][0]
    task, wanted = first.scores["task"], [condition.score for condition in required]
    means = [*HEADLINE[task], *(name for name, of_class in wanted if of_class is None and name in MEANS)]
    per_class = [PER_CLASS_OF[task], *(name for name, of_class in wanted if of_class is not None and name in PER_CLASS)]
    statistics = Statistics(list(dict.fromkeys(means)), list(dict.fromkeys(per_class)))
    pairs = list(combinations(range(len(groups)), 2))
    sums = [[each.sums for each in group] for group in groups]
    alone = all(len(group) == 1 for group in groups)
    found = [
        compare_runs(sums[i][0], sums[j][0], statistics) if alone else compare_recipes(sums[i], sums[j], statistics)
        for i, j in pairs
    ]
    differences = holm_over_pairs(found)
    return Comparison(
        split=first.scores["split"],
        samples=len(first.samples),
        drives=len(np.unique(first.groups)),
        classes=first.classes,
        recipes=[_recipe(group, statistics) for group in groups],
        pairs=[Pair(i, j, each) for (i, j), each in zip(pairs, differences, strict=True)],
        notes=[*_notes(groups)],
    )


def _recipe(group: Sequence[Evaluated], statistics: Statistics) -> Recipe:
    """A run with the intervals of its scores.json, or seeds with those over seeds and drives."""
    scores, name = [each.scores for each in group], group[0].name
    if len(group) == 1:
        intervals = scores[0]["intervals"] or {}
        return Recipe(name, scores, {score: (scores[0][score], intervals.get(score)) for score in statistics.means})
    found = recipe_scores([each.sums for each in group], Statistics(statistics.means, ()))
    return Recipe(f"{name} ({len(group)} seeds)", scores, {each.score: (each.value, each.interval) for each in found})


def _notes(groups: Sequence[Sequence[Evaluated]]) -> Iterator[str]:
    """What each recipe differs in from the first, of what kind the recipes are, and what some cannot express."""
    first = groups[0][0]
    for other, *_ in groups[1:]:
        keys = [*differing(first.settings, other.settings, _beside(groups))]
        more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
        yield f"{other.name} differs from {first.name} in {', '.join(keys[:MOST_NAMED]) or 'no setting'}{more}."
    for group in groups:
        if len(group) > 1:
            yield f"Seeds of one recipe: {', '.join(each.name for each in group)}."
    for each in (run for group in groups for run in group):
        if crossing := each.scores.get("crossing"):
            yield f"{each.name} predicts in the classes of {crossing['from']}, and what these cannot express counts as missed: over=common compares over the classes that all can express."


def _beside(groups: Sequence[Sequence[Evaluated]]) -> Sequence[str]:
    return SEED if any(len(group) > 1 for group in groups) else ()


def settings_table(groups: Sequence[Sequence[Evaluated]]) -> list[tuple[str, list[str]]]:
    """Return each key in which recipes differ, with its value in each of them as it is typed."""
    first = groups[0][0]
    keys = dict.fromkeys(
        key for other, *_ in groups[1:] for key in differing(first.settings, other.settings, _beside(groups))
    )
    values = [flat(group[0].settings) for group in groups]
    return [(key, [as_typed(each.get(key)) for each in values]) for key in keys]


def write(request: Request, groups: Sequence[Sequence[Evaluated]], comparison: Comparison) -> Path:
    """Print the comparison, and write compare.csv, compare.tex and compare.html; return their folder."""
    folder = request.folder if request.folder_was_typed else free_name(request.folder)
    report, gallery = request.of(PageKeys).report, Gallery()
    if report.html and report.images:
        gallery = pictures(groups, comparison.split, request.allow)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "compare.csv", list(csv_rows(comparison)), COLUMNS)
    write_text(folder / "compare.tex", latex(comparison))
    for note in (*comparison.notes, *filter(None, [gallery.reason])):
        print(f"note: {printable(note)}")
    if report.html:
        command = shlex.join(["python", "compare.py", *request.overrides])
        write_page(folder, comparison, groups, settings_table(groups), command, gallery)
        print(f"page: {folder / PAGE}")
    for line in (*sentences(comparison), *table(comparison)):
        print(printable(line))
    return folder.absolute()
