"""A piece of train on which the best checkpoint is chosen, where val is what is reported."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

from datamodules.errors import DatasetError
from datamodules.settings import DataSettings
from datamodules.splits.sample_table import SELECTION, SampleTable
from datamodules.splits.split import is_csv, order_hash

SELECTION_SHARE = Fraction(1, 10)  # of train


def with_selection(table: SampleTable, settings: DataSettings) -> tuple[SampleTable, list[str]]:
    """The table, with a piece of train put aside where the settings want one and the dataset's own split has no test.

    A CSV is taken as it is: it may put samples into `SELECTION` itself.

    Returns the table and sentences for the user. Raises DatasetError as `put_aside` does.
    """
    if table.indices("test") or not table.indices("train"):
        return table, []
    if settings.select_from == "train" and not is_csv(settings.split):
        table = put_aside(table, settings)
    count = len(table.indices(SELECTION))
    note = (
        "There is no test with truth, and the best checkpoint is chosen on val, which is also what is reported: its "
        "scores will look better than they are. data.select_from=train puts a piece of train aside for the choice."
    )
    if count:
        note = (
            f"There is no test with truth: val is what is reported, and the best checkpoint is chosen on {count} "
            f"samples of train that are put aside ({SELECTION})."
        )
    return table, [note]


def put_aside(table: SampleTable, settings: DataSettings) -> SampleTable:
    """Move a tenth of train into the split `SELECTION`: whole groups, in an order by hashes of their names.

    A group that would make it more than a tenth is passed over, unless there were none otherwise. Raises DatasetError
    where train has one group only.
    """
    sizes = Counter(sample.group for sample in table.samples if sample.split == "train")
    if len(sizes) < 2:
        raise DatasetError(
            "data.select_from=train: train has one group only, of which no piece can be put aside; use data.select_from=null."
        )
    order = sorted(sizes, key=lambda group: (order_hash(settings.split_seed, group), group))
    room, chosen = int(SELECTION_SHARE * sizes.total()), set()
    for group in order:
        if sizes[group] <= room:
            chosen.add(group)
            room -= sizes[group]
    chosen = chosen or {min(order, key=sizes.__getitem__)}
    return SampleTable(
        replace(sample, split=SELECTION) if sample.split == "train" and sample.group in chosen else sample
        for sample in table.samples
    )
