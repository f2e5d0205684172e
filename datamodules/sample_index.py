"""Which samples a dataset has, of which classes, and which split each is in."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lightning import LightningDataModule

from datamodules.errors import DatasetError
from datamodules.settings import DataSettings, typed
from datamodules.splits.sample_table import SELECTION, TABLE_SPLITS, Candidate, SampleTable, torn_groups
from datamodules.splits.selection import with_selection
from datamodules.splits.split import make_table, order_hash
from label_spaces.space import LabelSpace

LISTED = 20  # corrupt files that a message names before it only counts
TRAIN_EVAL = "train_eval"  # the fixed part of train that is evaluated beside the selection's split


class PreparedDataModule(LightningDataModule, ABC):
    """Finds the samples of a dataset and splits them; `ImageDataModule` feeds them.

    Args:
        settings: the common keys of `data=`.

    Attributes:
        table: the samples with their splits, after `prepare`.
        label_space: the classes, after `prepare`.
        notes: sentences for the user about what was found.
        skipped: (name, reason) of the files that cannot be used and are left out.
        sizes: by sample name its image's own (height, width) in pixels, where that is known; after `prepare`.
        test_split: the split that `test_dataloader` feeds; `closing_split` unless it is set.
    """

    task: ClassVar[str]  # classification or segmentation
    unit: ClassVar[str]  # what `counts` counts: images or pixels

    def __init__(self, settings: DataSettings) -> None:
        super().__init__()
        self.settings = settings
        self.table: SampleTable
        self.label_space: LabelSpace
        self.notes: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.sizes: dict[str, tuple[int, int]] = {}
        self.test_split = "test"

    # What a dataset says about itself

    @abstractmethod
    def find(self) -> list[Candidate]:
        """Every usable sample. Raises DatasetError; may add to `notes` and `skipped`."""

    @abstractmethod
    def classes_of(self, table: SampleTable) -> LabelSpace:
        """The classes of the samples of a table."""

    @abstractmethod
    def class_counts(self, split: str) -> list[int]:
        """How many samples, or pixels, of each class a split has, in class order."""

    @property
    def root(self) -> Path:
        """The folder that sample names are relative to; of several the first."""
        return self.roots[0]

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders that sample names may be relative to."""
        return (self.settings.root_folder,)

    def file(self, name: str) -> Path:
        """The file of a sample, or of the frame that it is a part of."""
        path = name.split("#", 1)[0]
        if len(self.roots) == 1:
            return self.root / path
        return next((found for root in self.roots if (found := root / path).exists()), self.root / path)

    def settle(self, table: SampleTable) -> SampleTable:
        """The split table that is used: a dataset may leave out what the split made too small. May add to `notes`."""
        return table

    def write_split(self, path: Path) -> None:
        """Write the split table as a CSV that `data.split` can name."""
        self.table.write_csv(path)

    # Finding and splitting

    def prepare(self, splits: Sequence[str] | None = None) -> None:
        """Find and split the samples, and check that `splits` are not empty; again: only check. Raises DatasetError.

        Args:
            splits: None: those that training, selection and the closing evaluation need.
        """
        if not hasattr(self, "table"):
            table, notes = make_table(self.find(), self.settings)
            self.notes += notes
            table, notes = with_selection(self.settle(table), self.settings)
            self.notes += notes if splits is None else []  # no checkpoint is chosen where nothing is trained
            self.notes += _torn(table)
            self.label_space = self.classes_of(table)
            self.table = table
            self.test_split = self.closing_split
        if self.label_space.num_classes < 2:
            raise DatasetError(
                f"data={self.settings.name} has samples of {self.label_space.num_classes} class only "
                f"({', '.join(self.label_space.classes) or 'none'}); a model needs two or more."
            )
        for split in ("train", self.selection_split, self.closing_split) if splits is None else splits:
            if not self.table.indices(split):
                raise DatasetError(f"data={self.settings.name}: {split} has no samples; {self.advice(split)}.")

    def advice(self, split: str) -> str:
        """What to do where a split is empty."""
        return "change data.split"

    @property
    def selection_split(self) -> str:
        """The split on which the best checkpoint is chosen: a piece of train where one was put aside, else val."""
        return SELECTION if self.table.indices(SELECTION) else "val"

    @property
    def closing_split(self) -> str:
        """The split that is reported when training has ended."""
        return "test"

    def leave_out(self, broken: Sequence[tuple[str, str]], total: int, what: str, cannot_be: str = "read") -> None:
        """Record (name, reason) of what is left out. Raises DatasetError with all of it unless it is to be skipped.

        Args:
            broken: what cannot be used, and why.
            total: of how many.
            what: they are, such as ``frames``.
            cannot_be: read, or used.
        """
        if not broken:
            return
        # A name that is not UTF-8 must still be printed and written.
        reasons = [(name.encode(errors="backslashreplace").decode(), reason) for name, reason in broken]
        if self.settings.on_corrupt == "fail":
            lines = "".join(f"\n  {name}: {reason}" for name, reason in reasons[:LISTED])
            more = f"\n  and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
            raise DatasetError(
                f"{len(reasons)} of {total} {what} under data.root={typed(self.settings.root)} cannot be {cannot_be}; "
                f"mend or remove them, or leave them out with data.on_corrupt=skip:{lines}{more}"
            )
        self.skipped += reasons
        self.notes.append(
            f"{what.capitalize()} that cannot be {cannot_be}: {len(reasons)} of {total}; they are left out (data.on_corrupt=skip)."
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """How many `unit` each split that has samples has of each class, both in their own order, zeros included."""
        splits = [split for split in TABLE_SPLITS if self.table.indices(split)]
        return {split: dict(zip(self.label_space.classes, self.class_counts(split), strict=True)) for split in splits}

    @property
    def names(self) -> list[str]:
        """The names of all samples, in the table's order."""
        return [sample.name for sample in self.table.samples]

    def indices(self, part: str) -> list[int]:
        """The places in the table of the samples of train, val, test or train_eval, ascending.

        train_eval is a part of train, fixed by hashes of names: as many samples as the selection's split has, unless set otherwise.
        """
        if part != TRAIN_EVAL:
            return self.table.indices(part)
        return self.part_of_train(self.settings.train_eval_samples)

    def part_of_train(self, count: int | None = None) -> list[int]:
        """The places of so many samples of train, fixed by hashes of names, ascending; None: as many as the selection's split has."""
        wanted = count or len(self.table.indices(self.selection_split))
        names = self.names
        order = sorted(
            self.table.indices("train"), key=lambda index: order_hash(self.settings.split_seed, names[index])
        )
        return sorted(order[:wanted])


def _torn(table: SampleTable) -> list[str]:
    """A sentence on groups that are on several sides, where there are such."""
    torn = torn_groups((sample.group, sample.split) for sample in table.samples)
    if not torn:
        return []
    group, splits = next(iter(torn.items()))
    of_all = f"{len(torn)} of {len({sample.group for sample in table.samples})}"
    told = f"Groups (drives) torn apart by the split: {of_all}, such as {group} ({', '.join(splits)})."
    return [
        f"{told} Samples of a group are alike: scores are higher than on new ones; data.split_by=group keeps them whole."
    ]
