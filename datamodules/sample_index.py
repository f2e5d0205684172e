"""Which samples a dataset has, of which classes, and which split each is in."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from lightning import LightningDataModule

from datamodules import refusals
from datamodules.splits.sample_table import SELECTION, TABLE_SPLITS, Candidate, SampleTable, order_hash, torn_groups
from datamodules.splits.selection import selection_note, with_selection
from datamodules.splits.split import make_table
from label_spaces.space import VOID, LabelSpace, same_names, similar_names
from settings.data import DataSettings, is_split_list

TRAIN_EVAL = "train_eval"  # the fixed part of train that is evaluated beside the selection's split


class IndexedDataModule(LightningDataModule, ABC):
    """Finds the samples of a dataset and splits them; `ImageDataModule` feeds them.

    After `find_samples`, `table` has the samples with their splits, `label_space` the classes, and `sizes`, by sample
    name, each image's own (height, width) in pixels where that is known, `pixels` how many its mask has of each class, of
    void last, `contents` hashes of its file and of its truth's ("" where that is no file); `notes` are sentences for the
    user about what was found, and `skipped` (name, reason) of the files that are left out.
    """

    unit: ClassVar[str]  # what `counts` counts: images or pixels
    several_roots: ClassVar[bool] = False  # whether `data.root` may name several folders
    split_lists: ClassVar[bool] = False  # whether `data.split` may name lists of samples

    def __init__(self, settings: DataSettings, *, test_split: str | None = None) -> None:
        super().__init__()
        self.settings = settings
        self._test_split = test_split
        self.table: SampleTable
        self.label_space: LabelSpace
        self.notes: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.sizes: dict[str, tuple[int, int]] = {}
        self.pixels: dict[str, tuple[int, ...]] = {}
        self.contents: dict[str, tuple[str, str]] = {}

    # What a dataset defines

    @abstractmethod
    def find(self) -> list[Candidate]:
        """Return every usable sample. Raises DatasetError; may add to `notes` and `skipped`."""

    @abstractmethod
    def classes_of(self, table: SampleTable) -> LabelSpace:
        """Return the classes of the samples of a table."""

    @abstractmethod
    def class_counts(self, split: str) -> list[int]:
        """Return how many samples, or pixels, of each class a split has, in class order."""

    @property
    def root(self) -> Path:
        """The folder that sample names are relative to; of several the first."""
        return self.roots[0]

    @cached_property
    def roots(self) -> tuple[Path, ...]:
        """The folders that sample names may be relative to: `sources`, or with `data.stage` copies of these. Raises DatasetError."""
        if not self.settings.stage:
            return self.sources
        from datamodules.files.staging import staged

        return staged(self.sources, self.settings)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The folders of the dataset. Raises DatasetError where `data.root` does not fit."""
        given = self.settings.root
        folders = [Path(root) for root in ([given] if isinstance(given, str) else given or ())]
        if not folders or not all(map(Path.is_dir, folders)) or (len(folders) > 1 and not self.several_roots):
            raise refusals.wrong_root(self.settings, folders)
        return tuple(folders)

    def file(self, name: str) -> Path:
        """Return the file of a sample, or of the frame that it is a part of."""
        files = [root / name for root in self.roots]
        return files[0] if len(files) == 1 else next((file for file in files if file.exists()), files[0])

    def filter_split(self, table: SampleTable) -> SampleTable:
        """Return the split table without what the split made unusable; may add to `notes`."""
        return table

    def write_split(self, path: Path) -> None:
        """Write the split table as a CSV that `data.split` can name."""
        self.table.write_csv(path)

    # Finding and splitting

    def find_samples(self) -> None:
        """Find and split the samples, once; a second call does nothing. Raises DatasetError."""
        if hasattr(self, "table"):
            return
        if is_split_list(self.settings.split) and not self.split_lists:
            raise refusals.no_lists(self.settings)
        table, notes = make_table(self.find(), self.settings)
        self.notes += notes
        table = self.filter_split(table)
        if not table.is_complete:
            table = with_selection(table, self.settings)
        self.label_space = self.classes_of(table)
        if self.label_space.num_classes < 2:
            raise refusals.too_few_classes(self.settings, self.label_space.classes)
        self._check_names(self.label_space.classes)
        if torn := torn_groups((sample.group, sample.split) for sample in table.samples):
            group, splits = next(iter(torn.items()))
            total = len({sample.group for sample in table.samples})
            self.notes.append(
                f"Groups (drives) torn apart by the split: {len(torn)} of {total}, such as {group} ({', '.join(splits)}). "
                "Samples of a group are alike: scores are higher than on new ones; data.split_by=group keeps them whole."
            )
        self.table = table

    def _check_names(self, classes: Sequence[str]) -> None:
        """Note class names that are easily confused. Raises DatasetError where Unicode writes one name in several ways."""
        if same := same_names(classes):
            raise refusals.same_classes(self.settings, same)
        similar = [" and ".join(map(repr, group)) for group in similar_names(classes)]
        self.notes += [f"Classes whose names are easily confused: {'; '.join(similar)}."] if similar else []
        if VOID in classes:
            self.notes.append(
                f"A class is called {VOID}: read confusion.csv by place, where the last row and column are those of no class."
            )

    def prepare_training(self) -> None:
        """Find the samples, and check what training, selection and the closing evaluation need. Raises DatasetError."""
        self.find_samples()
        note = None if self.table.is_complete else selection_note(self.table, self.settings)
        self.notes += [note] if note and note not in self.notes else []
        for split in ("train", self.selection_split, self.closing_split):
            self.prepare_split(split)

    def prepare_split(self, split: str) -> None:
        """Find the samples, and check that a split has some. Raises DatasetError."""
        self.find_samples()
        if not self.table.indices(split):
            raise refusals.empty_split(self.settings, split, self.table, len(self.skipped))

    @property
    def test_split(self) -> str:
        """The split that `test_dataloader` feeds."""
        return self._test_split or self.closing_split

    @property
    def selection_split(self) -> str:
        """The split on which the best checkpoint is chosen: a piece of train where one was put aside, else val."""
        return SELECTION if self.table.indices(SELECTION) else "val"

    @property
    def closing_split(self) -> str:
        """The split that is reported when training has ended: test where it has samples with truth, else val."""
        return "test" if self.table.indices("test") else "val"

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many `unit` each split that has samples has of each class, zeros included."""
        splits = [split for split in TABLE_SPLITS if self.table.indices(split)]
        return {split: dict(zip(self.label_space.classes, self.class_counts(split), strict=True)) for split in splits}

    @property
    def names(self) -> list[str]:
        """The names of all samples, in the table's order."""
        return [sample.name for sample in self.table.samples]

    def indices(self, part: str) -> list[int]:
        """Return the places in the table of the samples of train, val, test or train_eval, ascending."""
        if part == TRAIN_EVAL:
            return self.part_of_train(self.settings.train_eval_samples)
        return self.table.indices(part)

    def part_of_train(self, count: int | None = None) -> list[int]:
        """Return the places of `count` samples of train, by default as many as the selection's split has, ascending."""
        wanted = count or len(self.table.indices(self.selection_split))
        names, seed = self.names, self.settings.split_seed
        order = sorted(self.table.indices("train"), key=lambda index: order_hash(seed, names[index]))
        return sorted(order[:wanted])
