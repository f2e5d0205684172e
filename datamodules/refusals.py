"""Why a dataset is refused, for the user: what was found, and what to type."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from datamodules.errors import DatasetError
from datamodules.files.other_files import ARCHIVES
from datamodules.splits.sample_table import TABLE_SPLITS, SampleTable
from settings.base import as_typed
from settings.data import DataSettings


def wrong_root(settings: DataSettings, folders: Sequence[Path]) -> DatasetError:
    """No folder is given, one that does not exist, or several where one is read."""
    for folder in folders:
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            unpack = "unpack it, and " if folder.suffix.lower() in ARCHIVES and folder.exists() else ""
            return DatasetError(f"data.root={folder} {what}; {unpack}give the folder that holds the images.")
    if not folders:
        return DatasetError(f"data={settings.name} reads a folder of images: type data.root=FOLDER.")
    return DatasetError(
        f"data.root={as_typed(settings.root)}: data={settings.name} reads one folder; give one of them."
    )


def no_lists(settings: DataSettings) -> DatasetError:
    """The split is lists of samples, which the dataset does not read."""
    return DatasetError(
        f"data.split={settings.split}: data={settings.name} reads no lists of names; give a CSV with the columns sample and split."
    )


def too_few_classes(settings: DataSettings, classes: Sequence[str]) -> DatasetError:
    """There is one class, or none."""
    found = f"{len(classes)} class only ({', '.join(classes) or 'none'})"
    return DatasetError(f"data={settings.name} has samples of {found}; a model needs two or more.")


def same_classes(settings: DataSettings, same: Iterable[Sequence[str]]) -> DatasetError:
    """Groups of class names that differ only in how Unicode writes them."""
    twice = "; ".join(f"{group[0]} ({' and '.join(map(ascii, group))})" for group in same)
    return DatasetError(
        f"data={settings.name}: classes have the same name, which Unicode writes in several ways: {twice}. Give such "
        "a class one name: one folder, or one row or entry of the list of classes."
    )


def empty_split(settings: DataSettings, split: str, table: SampleTable, skipped: int) -> DatasetError:
    """A split has no samples."""
    having = [f"{each} ({count})" for each in TABLE_SPLITS if (count := len(table.indices(each)))] or ["none"]
    remedy = "change data.split"
    if split == "val" and table.indices("train"):
        remedy = "type data.select_from=train: a piece of train is put aside to choose the best checkpoint"
    left = f", as {skipped} files are left out (data.on_corrupt=skip)" if skipped else ""
    return DatasetError(f"data={settings.name}: {split} has no samples{left}; {remedy}. There are {', '.join(having)}.")


def uneven_steps(settings: DataSettings, ranks: int, accumulate: int) -> DatasetError:
    """A step does not divide by the batches that make it up."""
    pieces = ranks * accumulate
    below = settings.batch_size // pieces * pieces
    nearest = f"{below} and {below + pieces}" if below else str(pieces)
    return DatasetError(
        f"data.batch_size={settings.batch_size} must divide by devices × accumulation = "
        f"{ranks} × {accumulate}; the nearest that does: {nearest}."
    )


def no_step(settings: DataSettings, samples: int) -> DatasetError:
    """All training samples together are less than a step, which is left out."""
    return DatasetError(
        f"data.drop_last=true leaves no batch: {samples} training samples are fewer than data.batch_size={settings.batch_size}."
    )
