"""On which samples the best checkpoint is chosen, where the dataset's splits leave none for it."""

from collections import defaultdict
from dataclasses import replace

from datamodules.errors import DatasetError
from datamodules.splits.sample_table import SELECTION, SELECTION_SHARE, Candidate, Sample, SampleTable, stratified_order
from settings.base import is_csv
from settings.data import DataSettings


def with_selection(table: SampleTable, settings: DataSettings) -> SampleTable:
    """Put a tenth of train aside as `SELECTION` where the settings request it and the split lacks val or test.

    Whole groups are moved, except those that would make it more than a tenth: each class in proportion, in an order by
    hashes of their names. A CSV that has val is taken as it is: it may put samples into `SELECTION` itself. Raises
    DatasetError where train has one group.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in table.samples:
        if sample.split == "train":
            groups[sample.group].append(sample)
    has_val, has_test = (bool(table.indices(split)) for split in ("val", "test"))
    complete = table.indices(SELECTION) or (has_val and (has_test or is_csv(settings.split)))
    if settings.select_from != "train" or complete or not groups:
        return table
    if len(groups) < 2:
        raise DatasetError(
            "data.select_from=train: train has one group only, of which no piece can be put aside; use data.select_from=null."
        )
    # A group of several classes counts as its first: they belong to crops and frames, whose splits are the datasets' own.
    candidates = (Candidate(group, group, samples[0].target) for group, samples in groups.items())
    order = [group.name for group in stratified_order(candidates, settings.split_seed)]
    room, chosen = int(SELECTION_SHARE * sum(map(len, groups.values()))), set()
    for group in order:
        if len(groups[group]) <= room:
            chosen.add(group)
            room -= len(groups[group])
    chosen = chosen or {min(order, key=lambda group: len(groups[group]))}
    return SampleTable(
        replace(sample, split=SELECTION) if sample.split == "train" and sample.group in chosen else sample
        for sample in table.samples
    )


def selection_note(table: SampleTable, settings: DataSettings) -> str | None:
    """Return a sentence on what the best checkpoint is chosen on, where there is no val for it, or val is what is reported."""
    has_test, aside = bool(table.indices("test")), len(table.indices(SELECTION))
    if not table.indices("train") or (has_test and (table.indices("val") or not aside)):
        return None
    reported = "There is no val" if has_test else "There is no test with truth: val is what is reported"
    if aside:
        return f"{reported}, and the best checkpoint is chosen on {aside} samples of train that are put aside ({SELECTION})."
    if is_csv(settings.split):
        remedy = f"give some samples of train the split {SELECTION} in the CSV for the choice."
    else:
        remedy = "data.select_from=train puts a piece of train aside for the choice."
    return (
        "There is no test with truth, and the best checkpoint is chosen on val, which is also what is reported: its "
        f"scores will look better than they are. {remedy}"
    )
