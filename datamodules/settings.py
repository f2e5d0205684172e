"""The keys that every `data=` option has, checked before anything is read."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeGuard

from datamodules.errors import DatasetError
from datamodules.splits.sample_table import SPLITS

MOST_WORKERS = 8  # beyond that, image decoding waits for memory rather than for cores


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The common keys of every data option, as typed.

    Every wrong value raises DatasetError with the key as typed and what is legal.

    Args:
        name: the data option, such as ``image_folder``.
        root: the dataset's folder, or several; None only where the dataset makes its own.
        fraction: the part of the samples that is used, in (0, 1].
        split: fractions of train, val and test that add to 1, or ``official``, ``folders``, or the path of a CSV.
        split_by: ``sample``, or ``group`` to keep the samples of a group (a drive) on one side.
        split_seed: which of the possible splits.
        generator_seed: which of the possible datasets, where the dataset makes its own.
        label_space: the label space's name, or the path of a CSV, where the dataset has several.
        classes: the names of the classes, where the masks of a dataset hold 0, 1, … for them.
        masks: ``polygons`` to draw masks, ``files`` for ready ones, where the dataset may have both.
        riders: ``separate``, ``merge`` or ``drop``: what becomes of riders where objects are cut out, see `CropRules`.
        image_size: (height, width) in pixels of what the model sees.
        eval_size: (height, width) in pixels at which predictions are scored, where that differs.
        load_size: (height, width) in pixels of training images before the augmentation cuts `image_size` out of them,
            where that differs.
        num_workers: processes that read images; None chooses by the cores (`worker_count`).
        cache: whether resized images are kept in memory or on disk; ``auto`` decides by size.
        cache_dir: where caches lie.
        on_corrupt: ``fail`` or ``skip`` where an image cannot be read.
        batch_size: samples that one optimiser step sees, on any number of devices.
        eval_batch_size: samples in an evaluation's batch, per device.
        drop_last: whether an epoch's last batch is left out where it is smaller than the others.
        select_from: ``train`` to put a piece of train aside for model selection where val is what is reported.
        train_eval_samples: how many training samples are evaluated each epoch; None: as many as val has.
    """

    name: str
    root: str | Sequence[str] | None = None
    fraction: float = 1.0
    split: Mapping[str, float] | str
    split_by: str = "sample"
    split_seed: int = 0
    generator_seed: int = 0
    label_space: str | None = None
    classes: Sequence[str] | None = None
    masks: str = "polygons"
    riders: str = "separate"
    image_size: tuple[int, int]
    eval_size: tuple[int, int] | None = None
    load_size: tuple[int, int] | None = None
    num_workers: int | None = None
    cache: bool | str = "auto"
    cache_dir: str
    on_corrupt: str = "fail"
    batch_size: int = 32
    eval_batch_size: int
    drop_last: bool = False
    select_from: str | None = None
    train_eval_samples: int | None = None

    def __post_init__(self) -> None:
        self._check(
            "fraction", is_number(self.fraction) and 0 < self.fraction <= 1, "give a number above 0 and at most 1"
        )
        self._check_split()
        self._check("split_by", self.split_by in ("sample", "group"), "use sample or group")
        for key in ("image_size", "eval_size", "load_size"):
            self._check_size(key)
        self._check(
            "cache", self.cache is True or self.cache is False or self.cache == "auto", "use auto, true or false"
        )
        self._check("on_corrupt", self.on_corrupt in ("fail", "skip"), "use fail or skip")
        self._check("drop_last", isinstance(self.drop_last, bool), "use true or false")
        self._check("select_from", self.select_from in (None, "train"), "use train or null")
        for key, least in {"split_seed": 0, "generator_seed": 0, "batch_size": 1, "eval_batch_size": 1}.items():
            self._check(key, is_whole(getattr(self, key), least), f"give a whole number of at least {least}")
        for key, least in {"num_workers": 0, "train_eval_samples": 1}.items():
            value = getattr(self, key)
            self._check(
                key, value is None or is_whole(value, least), f"give a whole number of at least {least}, or null"
            )
        self._check("masks", self.masks in ("polygons", "files"), "use polygons or files")
        self._check("riders", self.riders in ("separate", "merge", "drop"), "use separate, merge or drop")
        for key, several in {"root": True, "label_space": False}.items():
            value = getattr(self, key)
            legal = value is None or is_text(value) or (several and is_texts(value))
            self._check(key, legal, "give a name, or null")
        self._check("classes", self.classes is None or is_texts(self.classes), "give names such as [road,sky], or null")
        self._check("cache_dir", isinstance(self.cache_dir, str) and self.cache_dir != "", "give a folder")

    @property
    def root_folders(self) -> tuple[Path, ...]:
        """The folders `root` names, ``~`` expanded. Raises DatasetError where none is given, or one is no folder."""
        if self.root is None:
            raise DatasetError(f"data={self.name} needs to know where the images are: add data.root=FOLDER.")
        folders = []
        for root in (self.root,) if isinstance(self.root, str) else self.root:
            folder = Path(root).expanduser()
            if not folder.is_dir():
                what = "is a file, not a folder" if folder.exists() else "does not exist"
                raise DatasetError(f"data.root={root} {what}; give the folder that holds the images.")
            folders.append(folder)
        return tuple(folders)

    @property
    def root_folder(self) -> Path:
        """The one folder `root` names. Raises DatasetError as `root_folders` does, and where there are several."""
        folders = self.root_folders
        if len(folders) > 1:
            raise DatasetError(f"data.root={typed(self.root)}: data={self.name} reads one folder; give one of them.")
        return folders[0]

    def fractions(self) -> dict[str, Fraction]:
        """The exact fraction of each split as it was typed; only where `split` holds fractions."""
        if isinstance(self.split, str):
            raise TypeError(f"data.split={self.split} holds no fractions")
        return {split: Fraction(str(self.split[split])) for split in SPLITS}

    def worker_count(self, processes: int = 1) -> int:
        """Reading processes for each of `processes` training processes of this machine: one core is left to each of them."""
        if self.num_workers is not None:
            return self.num_workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(0, min(MOST_WORKERS, cores // processes - 1))

    def _check(self, key: str, legal: bool, advice: str) -> None:
        if not legal:
            raise DatasetError(f"data.{key}={typed(getattr(self, key))}: {advice}.")

    def _check_size(self, key: str) -> None:
        size = getattr(self, key)
        if size is None and key != "image_size":
            return
        whole = (
            isinstance(size, Sequence)
            and not isinstance(size, str)
            and len(size) == 2
            and all(is_whole(side, 1) for side in size)
        )
        self._check(key, whole, "give two positive whole numbers of pixels, [height,width]")
        object.__setattr__(self, key, (size[0], size[1]))

    def _check_split(self) -> None:
        if isinstance(self.split, str):
            known = self.split in {"official", "folders"} or self.split.lower().endswith(".csv")
            self._check(
                "split",
                known,
                "use official, folders, the path of a CSV, or fractions such as {train:0.7,val:0.1,test:0.2}",
            )
            return
        self._check("split", isinstance(self.split, Mapping), "give fractions, official, folders or the path of a CSV")
        self._check(
            "split",
            set(self.split) == set(SPLITS),
            "give a fraction for each of train, val and test, and for nothing else",
        )
        positive = all(is_number(part) and 0 < part < 1 for part in self.split.values())
        self._check("split", positive, "each fraction must be a number above 0 and below 1")
        total = sum(self.fractions().values())
        self._check("split", total == 1, f"the fractions must add to 1, not {float(total):.6g}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object, least: int) -> bool:
    """Whether a value is a whole number of at least `least`, not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_text(value: object) -> bool:
    """Whether a value is a text that is not empty."""
    return isinstance(value, str) and value != ""


def is_texts(value: object) -> bool:
    """Whether a value is a list of one or more texts that are not empty."""
    return isinstance(value, list | tuple) and len(value) > 0 and all(is_text(part) for part in value)


def typed(value: Any) -> str:
    """A value in the way it is typed on the command line."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(typed(part) for part in value) + "]"
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )
