"""Which samples are used, and which split each is in: pure functions of names, classes and a seed."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from datamodules.errors import DatasetError, shortened
from datamodules.splits.group_assignment import deal
from datamodules.splits.sample_table import SPLITS, Candidate, Sample, SampleTable, stratified_order
from settings.base import is_csv
from settings.data import DataSettings


def take_fraction(candidates: Iterable[Candidate], fraction: float, seed: int) -> list[Candidate]:
    """Return, by name, the first floor(fraction x n), at least one, of `stratified_order`, which nests fractions."""
    if fraction == 1:
        return sorted(candidates, key=lambda candidate: candidate.name)
    order = stratified_order(candidates, seed)
    size = max(1, int(Fraction(str(fraction)) * len(order)))
    return sorted(order[:size], key=lambda candidate: candidate.name)


def make_table(candidates: Iterable[Candidate], settings: DataSettings) -> tuple[SampleTable, list[str]]:
    """Return the table of a fraction of the samples, or of those a CSV lists, and notes. Raises DatasetError."""
    found, fraction = list(candidates), settings.fraction
    notes: list[str] = []
    whole = False
    if is_csv(settings.split):
        from datamodules.splits.listed import take_listed  # few runs read a CSV

        found, notes, whole = take_listed(found, settings, Path(settings.split))
    if whole and fraction < 1:
        notes += [f"data.fraction={fraction} is not applied: {settings.split} is a whole split table, taken as it is."]
    chosen = found if whole else take_fraction(found, fraction, settings.split_seed)
    if lost := sorted({candidate.target for candidate in found} - {candidate.target for candidate in chosen}):
        raise DatasetError(f"data.fraction={fraction} leaves no sample of {shortened(lost)}; take a larger fraction.")
    table, more = split_candidates(chosen, settings)
    return table, notes + more


def split_candidates(candidates: Iterable[Candidate], settings: DataSettings) -> tuple[SampleTable, list[str]]:
    """Put every sample into train, val or test; one that has a split keeps it unless `settings` has fractions or folds.

    Fractions give floor(fraction x n) samples to train and val and the rest to test, each class in proportion, or the
    nearest sizes with which equal content and, for `split_by` group, groups stay on one side.
    Returns the table and sentences for the user. Raises DatasetError where the request cannot be met.
    """
    found = sorted(candidates, key=lambda candidate: candidate.name)
    if isinstance(settings.split, str) and settings.folds is None:
        table, notes = _ready(found, settings)
    else:
        make = _by_fractions
        if settings.folds is not None:
            from datamodules.splits.folds import split_by_folds as make  # of cross-validations only
        table, wanted = make(found, settings)
        notes = _remarks(found, table, wanted, settings.split_by == "group")
    if settings.folds is not None and any(candidate.split for candidate in found):
        notes.append(
            f"data.folds={settings.folds}: the {len(found)} samples of all splits of the dataset are dealt to folds."
        )
    if contradictions := _differing_copies(found, lambda candidate: candidate.target):
        one, other = contradictions[0]
        notes.append(
            f"Byte-identical files under different classes: {len(contradictions)}, such as {one.name} and {other.name}; "
            "one of the labels is wrong."
        )
    for split in SPLITS:
        counts = table.counts(split)
        absent = [target for target, count in counts.items() if count == 0]
        if absent and len(absent) < len(counts):
            notes.append(f"{split} has no sample of {shortened(absent)}.")
    return table, notes


def _ready(found: Sequence[Candidate], settings: DataSettings) -> tuple[SampleTable, list[str]]:
    """Return the table of samples that already have a split."""
    samples = [Sample(c.name, c.group, c.target, c.split) for c in found if c.split is not None]
    if len(samples) < len(found):
        raise DatasetError(
            f"data.split={settings.split}: data={settings.name} has no such split; "
            "give fractions such as {train:0.7,val:0.1,test:0.2} or the path of a CSV."
        )
    notes = []
    if leaks := _differing_copies(found, lambda candidate: candidate.split):
        one, other = leaks[0]
        notes.append(
            f"Byte-identical files in different splits: {len(leaks)}, such as {one.name} ({one.split}) "
            f"and {other.name} ({other.split}); scores on them measure memorisation."
        )
    return SampleTable(samples), notes


def _by_fractions(found: Sequence[Candidate], settings: DataSettings) -> tuple[SampleTable, dict[str, int]]:
    """Return the table, and the sizes that the splits would have if each sample could be placed alone."""
    by_group = settings.split_by == "group"
    _check_enough(found, settings, by_group)
    fractions = settings.fractions()
    wanted = {split: int(fractions[split] * len(found)) for split in SPLITS[:-1]}
    wanted[SPLITS[-1]] = len(found) - sum(wanted.values())
    placed = deal(found, fractions, wanted, by_group=by_group, seed=settings.split_seed)
    table = SampleTable(
        Sample(c.name, c.group, c.target, split) for unit, split in placed.items() for c in unit.members
    )
    what = "groups without a file in common" if by_group else "different images"
    if any(not table.indices(split) for split in SPLITS):
        raise DatasetError(f"data={settings.name} has only {len(placed)} {what}, too few for {len(SPLITS)} splits.")
    if unlearnt := [target for target, count in table.counts(SPLITS[0]).items() if count == 0]:
        raise DatasetError(f"no split can have {shortened(unlearnt)} in {SPLITS[0]}: there are too few {what}.")
    return table, wanted


def _check_enough(found: Sequence[Candidate], settings: DataSettings, by_group: bool) -> None:
    of_fraction = f" with data.fraction={settings.fraction}" if settings.fraction < 1 else ""
    groups = {candidate.group for candidate in found}
    if by_group and len(groups) < len(SPLITS):
        raise DatasetError(
            f"data.split_by=group: {len(groups)} groups{of_fraction} are too few for {len(SPLITS)} splits; use data.split_by=sample."
        )
    counts = Counter(candidate.target for candidate in found)
    if few := sorted(f"{target} ({count})" for target, count in counts.items() if count < len(SPLITS)):
        raise DatasetError(
            f"too few samples{of_fraction} to be in each of {len(SPLITS)} splits: {shortened(few)}; add some, or leave such a class out."
        )


def _copies(found: Iterable[Candidate]) -> list[list[Candidate]]:
    """Return the samples of equal content, two or more each."""
    known = sorted((c for c in found if c.content is not None), key=lambda c: (c.content, c.name))
    return [copies for _, members in groupby(known, key=lambda c: c.content) if len(copies := list(members)) > 1]


def _differing_copies(
    found: Iterable[Candidate], value: Callable[[Candidate], str | None]
) -> list[tuple[Candidate, Candidate]]:
    """Return, of each content whose samples differ in `value`, the first sample and the first that differs from it."""
    pairs = []
    for first, *others in _copies(found):
        if differing := [other for other in others if value(other) != value(first)]:
            pairs.append((first, differing[0]))
    return pairs


def _remarks(found: Sequence[Candidate], table: SampleTable, wanted: dict[str, int], by_group: bool) -> list[str]:
    """Return sentences for the user on a split by fractions."""
    notes = []
    if copies := _copies(found):
        extra = sum(len(members) - 1 for members in copies)
        pair = f"{copies[0][0].name} and {copies[0][1].name}"
        notes.append(f"Byte-identical copies: {extra}, such as {pair}; copies stay on one side.")
    sizes = {split: len(table.indices(split)) for split in SPLITS}
    if sizes != wanted:
        reason = "groups stay whole" if by_group else "copies stay on one side and each class is in each split"
        exact, made = _listed_sizes(wanted), _listed_sizes(sizes)
        notes.append(f"The exact sizes {exact} are impossible because {reason}; the split is {made}.")
    return notes


def _listed_sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{split} {size}" for split, size in sizes.items())
