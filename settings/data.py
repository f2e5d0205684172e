"""`data`: which samples there are, how they are split, read and batched."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from settings.base import (
    Group,
    Ids,
    Legal,
    NameOrCSV,
    Number,
    Paths,
    PathText,
    Positive,
    Share,
    Size,
    Text,
    Whole,
    absolute,
    as_typed,
    is_csv,
)
from settings.mixing import SamplingKeys

SPLITS = ("train", "val", "test")
MOST_FOLDS = 50  # 240 drives of 11 classes are dealt to 5 folds in under a second, to 50 in 16 s, to 100 in 80 s


def is_split_list(value: object) -> bool:
    """Whether a value of `data.split` is the pattern of text files that list the samples of each split."""
    return isinstance(value, str) and "{split}" in value and value.lower().endswith(".txt")


def _split_name(value: str) -> str:
    if is_csv(value):
        return absolute(value)
    if value not in ("official", "folders") and not is_split_list(value):
        raise ValueError("no such split")
    return value


Part = Annotated[Number, Field(gt=0, le=1)]
# Hydra reads 0 and 2019 as numbers; as names they are the same text.
Name = Annotated[Text, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
Names = Annotated[list[Name], Field(min_length=1), Legal("a list of names such as [road,sky]")]
FolderNames = Annotated[
    Name | Annotated[list[Name], Field(min_length=1)] | None,
    Legal("a folder directly under data.root, or a list of such folders, or null"),
]
Stage = Annotated[bool | PathText, Legal("true, false or the path of a folder")]
Roots = Annotated[Paths, Legal("a folder, a list of folders, or null")]


class Fractions(Group):
    """The parts of the samples that become train, val and test."""

    train: Share
    val: Share
    test: Share

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = sum(self.exact().values())
        if total != 1:
            raise ValueError(f"the fractions must add to 1, not {float(total):.6g}")
        return self

    def exact(self) -> dict[str, Fraction]:
        """The decimals that were typed, as exact fractions."""
        return {split: Fraction(str(getattr(self, split))) for split in SPLITS}


class SplitFolders(Group):
    """The ready folders of each split, where their names do not determine it."""

    train: FolderNames = Field(None, description="folders of train under data.root, for data.split=folders")
    val: FolderNames = Field(None, description="folders of val")
    test: FolderNames = Field(None, description="folders of test")

    def splits(self) -> dict[str, str]:
        """The split of each folder."""
        return dict(self._named())

    def _named(self) -> list[tuple[str, str]]:
        given = ((split, getattr(self, split) or []) for split in SPLITS)
        return [(name, split) for split, names in given for name in ([names] if isinstance(names, str) else names)]

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if len(self._named()) != len(self.splits()):
            raise ValueError(f"data.folders={as_typed(self)}: one folder is named twice.")
        if self._named() and (self.train is None or (self.val is None and self.test is None)):
            raise ValueError(f"data.folders={as_typed(self)}: name folders of train, and of val or test or both.")
        return self


Pattern = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(lambda text: str(Path(text).expanduser()) if text.startswith("~") else text),
    Legal("a pattern of paths such as {split}/images/{name}.jpg"),
]
Riders = Literal["separate", "merge", "drop"]
Split = Annotated[
    Fractions | Annotated[str, AfterValidator(_split_name)],
    Legal(
        "fractions of train, val and test that add to 1, such as {train:0.7,val:0.1,test:0.2}, official, folders, the path of a CSV, or lists such as sets/{split}.txt"
    ),
]


class DataSettings(SamplingKeys):
    """`data`: which samples there are, how they are split, read and batched."""

    target: str | None = Field(None, alias="_target_", description="the data module, by the model's task")
    targets: dict[str, str] = Field({}, description="the data module for each task that the dataset serves")
    by_task: dict[str, dict[str, Any]] = Field({}, description="defaults that differ between tasks")
    name: Text = Field(description="the dataset's name, part of the run folder's name")
    root: Roots = Field(None, description="the dataset's folder; IDD also takes a list: [PART1,PART2]")
    fraction: Part = Field(1.0, description="the part of the samples that is used; larger parts contain smaller ones")
    split: Split = Field(
        description="fractions; official; folders (train, val, test); a CSV with the columns sample and split; or lists: sets/{split}.txt"
    )
    folds: Annotated[int, Ge(2), Le(MOST_FOLDS)] | None = Field(
        None,
        description="cross-validation: deal all samples with truth to so many folds, in place of the splits that the dataset has; val is a tenth of the folds that are not tested, or the part of them that data.split.val is",
    )
    fold: Whole | None = Field(
        None, description="the fold that is test, from 0 to data.folds - 1; train and val are in the others"
    )
    split_by: Literal["sample", "group"] = Field("sample", description="group: a group (a drive) stays in one split")
    split_seed: Whole = Field(0, description="seed of the split")
    generator_seed: Whole = Field(0, description="seed of generated data")
    folders: SplitFolders = Field(SplitFolders(), description="the ready folders of each split")
    labels: PathText | None = Field(
        None, description="a CSV with the class of each image, for images that are not in a folder per class"
    )
    label_columns: Annotated[list[Text], Field(min_length=2, max_length=2)] | None = Field(
        None, description="its columns of files and of classes, such as [file,label]; null: recognised"
    )
    label_space: NameOrCSV | None = Field(
        None, description="the classes of masks, such as idd_level3; docs/OWN_DATA.md has the CSV"
    )
    classes: Names | None = Field(
        None,
        description="class names of masks that hold 0, 1, … for them, and 255 for no class; of images: which folders or labels are classes",
    )
    void_ids: Ids | None = Field(None, description="further ids of no class in masks, such as [11]")
    masks: Literal["polygons", "files", "labelme", "coco"] = Field(
        "polygons", description="read mask files, or draw them from IDD's polygons, LabelMe's or COCO's files"
    )
    image_pattern: Pattern | None = Field(
        None, description="where a mask_folder's images are, such as {split}/images/{name}.jpg; null: recognised"
    )
    mask_pattern: Pattern | None = Field(
        None, description="where their masks are, such as {split}/labels/{name}_mask.png; null: recognised"
    )
    riders: Riders = Field("separate", description="object crops: a class, with their vehicle, or out")
    image_size: Size = Field(description="[height,width] in pixels of the images that the model is trained on")
    eval_size: Size | None = Field(
        None, description="[height,width] of scoring; null: image_size, for IDD's masks the frame's"
    )
    load_size: Size | None = Field(None, description="[height,width] before aug crops image_size; null: image_size")
    num_workers: Whole | None = Field(None, description="processes that read images; null: chosen from the cores")
    cache: bool | Literal["auto"] = Field("auto", description="keep decoded images in one file; auto: where few")
    cache_dir: PathText = Field(description="the folder of caches")
    decode: Literal["full", "reduced"] = Field(
        "full", description="reduced: decode JPEG at a half, a quarter, … where that is no smaller than what is needed"
    )
    stage: Stage = Field(
        False, description="read data.root from a copy on this machine's disk: in this folder; true: in data.cache_dir"
    )
    on_corrupt: Literal["fail", "skip"] = Field("fail", description="end at unusable files, or skip and record them")
    batch_size: Annotated[Positive, Legal("a whole number of at least 1; of train.py also auto")] = Field(
        32,
        description="samples of one optimiser step, on all devices together; one that is left over joins an epoch's last step; auto: the largest that a GPU has memory for",
    )
    eval_batch_size: Positive = Field(description="samples of an evaluation's batch, per device")
    drop_last: bool = Field(False, description="leave out an epoch's last batch where it is smaller")
    select_from: Literal["train"] | None = Field(
        None,
        description="the best checkpoint is chosen on a part of train where val is reported, or where there is no val",
    )
    train_eval_samples: Positive | None = Field(None, description="train samples scored each epoch; null: as in val")
    bit_depth: Annotated[int, Ge(1), Le(16)] | None = Field(
        None,
        description="significant bits of images of 16 bits a channel; null: as the file notes, else all where used",
    )
    options: dict[str, Any] = Field({}, description="further keyword arguments of a data module of your own")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.folders.splits() and self.split != "folders" and not is_csv(self.split):
            raise ValueError(f"data.folders={as_typed(self.folders)} needs data.split=folders.")
        if self.load_size is not None and any(a < b for a, b in zip(self.load_size, self.image_size, strict=True)):
            raise ValueError(
                f"data.load_size={as_typed(self.load_size)} is smaller than data.image_size={as_typed(self.image_size)}, which is "
                "cropped from it. Type a larger one, or leave data.load_size out."
            )
        if (self.folds is None) != (self.fold is None):
            missing = "data.folds=5" if self.folds is None else f"data.fold=0, or another up to {self.folds - 1}"
            raise ValueError(f"data.folds and data.fold go together. Type also {missing}.")
        if self.folds is not None and self.fold is not None:
            if self.fold >= self.folds:
                raise ValueError(f"data.fold={self.fold}: of data.folds={self.folds} the last one is {self.folds - 1}.")
            if isinstance(self.split, str) and self.split != "official":  # which is the default of some data
                raise ValueError(self.two_splits())
        names = self.classes or []
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"data.classes={as_typed(names)}: a name must be that of one class, but {', '.join(repeated)} is there "
                "twice. Give each id of the masks a name of its own."
            )
        return self

    def two_splits(self) -> str:
        """Why a ready split and folds exclude each other, for the user."""
        return (
            f"data.folds={self.folds} deals the samples to folds, and data.split={self.split} has them in splits already. "
            "Leave one of them out."
        )

    def fractions(self) -> dict[str, Fraction]:
        """The exact fraction of each split; only where `split` holds fractions."""
        if isinstance(self.split, str):
            raise TypeError(f"data.split={self.split} holds no fractions")
        return self.split.exact()
