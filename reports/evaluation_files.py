"""Reading scores.json and per_sample.npz of an evaluation, which may come from anybody, before something is computed from them."""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from run_files import read_json
from run_folder import RunFolderError

EXPANDED = 2**31  # bytes that the arrays may have together: those of some million frames
# What numpy and zipfile raise for a damaged archive.
DAMAGED = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, MemoryError, SyntaxError, EOFError,
           zipfile.BadZipFile, zlib.error, tokenize.TokenError)  # fmt: skip
KINDS = {
    "sample": "U",
    "group": "U",
    "loss": "f",
    "target": "iu",
    "prediction": "iu",
    "probability": "f",
}  # of numpy's types
Score = float | None
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
LONGEST_SIDE = 2**20  # of an image, in pixels
Size = Annotated[list[Annotated[int, Field(ge=1, le=LONGEST_SIDE)]], Field(min_length=2, max_length=2)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Named(_Part):
    name: str


class _Classes(_Part):
    classes: list[_Named]


class _Class(_Named):
    iou: Score
    precision: Score
    recall: Score
    f1: Score
    support: int
    predicted: int


class _Trained(_Part):
    file: str
    epoch: int
    step: int


class _Untrained(_Part):
    """Weights that were trained elsewhere, or no file, where masks were."""

    file: str | None = None
    epoch: None = None
    step: None = None


class _Looks(_Part):
    flip: bool = False
    scales: list[float] = [1.0]
    window: Size | None = None
    stride: Size | None = None


class _Policy(_Part):
    resolution: Size | None = None
    looks: _Looks | None = None


class _Level(_Part):
    miou: Score


class _Scores(_Part):
    """What comparisons, pages and summaries use; evaluations of earlier versions lack what has a default."""

    task: Literal["classification", "segmentation"]
    split: str
    label_space: str
    policy: _Policy
    checkpoint: _Trained | _Untrained
    n_seen: int
    n_expected: int
    n_unique: int = 0
    void_rate: Score = None
    loss: Score = None
    precision_macro: Score = None
    recall_macro: Score = None
    accuracy: Score
    f1_macro: Score
    f1_weighted: Score
    miou: Score
    fwiou: Score
    intervals: dict[str, Interval | None] | None
    crossing: dict[str, Any] | None
    safe_miou: Score = None
    miou_present: Score = None
    miou_image: Score = None
    miou_image_worst: Score = None
    levels: dict[str, _Level] | None = None
    autonue_compat: dict[str, _Level] | None = None
    baselines: dict[str, dict[str, Score]] | None = None
    few_groups: dict[str, int] | None = None
    classes: list[_Class]


def read_scores(path: Path) -> dict[str, Any]:
    """Return the content of scores.json. Raises RunFolderError naming the file and the key where it is not what evaluations write."""
    return read_json(path, _Scores)


def read_classes(path: Path) -> list[str]:
    """Return the names of the classes in scores.json. Raises RunFolderError as `read_scores`."""
    return [each["name"] for each in read_json(path, _Classes)["classes"]]


def read_samples(path: Path, num_classes: int) -> dict[str, np.ndarray]:
    """Return the columns of per_sample.npz of an evaluation in `num_classes` classes; see `metrics.class_sums.sums_by_group`.

    Raises RunFolderError naming the file where it cannot be read, or its columns do not belong together.
    """
    try:
        columns = _columns(path)
        wrong = next(_wrong(columns, num_classes), None)
    except DAMAGED as error:
        wrong = str(error)
    if wrong is not None:
        raise RunFolderError(f"{path} is damaged: {wrong}. Evaluate the run again.")
    return columns


def _columns(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        expanded = [each.file_size for each in archive.infolist()]
    if sum(expanded) > EXPANDED:
        raise ValueError(f"its arrays have more than {EXPANDED} bytes")
    with np.load(path, allow_pickle=False) as file:
        return dict(file.items())


def _wrong(columns: Mapping[str, np.ndarray], num_classes: int) -> Iterator[str]:
    """What does not belong together; empty where all does."""
    number = len(columns["sample"])
    of_images = {"target", "prediction", "probability"}
    if missing := {"loss", *(of_images if of_images & columns.keys() else ())} - columns.keys():
        yield f"it has no {', '.join(sorted(missing))}"
    for name, kinds in KINDS.items():
        values = columns.get(name)
        if values is not None and (values.shape != (number,) or values.dtype.kind not in kinds):
            yield f"{name} has the shape {values.shape} of {values.dtype}, not one value for each of {number} samples"
        elif values is not None and kinds == "iu" and not _within(values, num_classes):
            yield f"{name} is not always one of {num_classes} classes"
    for prefix, most in (("", (num_classes + 1) ** 2), ("uncrossed_", None)):
        if f"{prefix}indptr" not in columns:
            continue
        indptr, cell, count = (columns[f"{prefix}{name}"] for name in ("indptr", "cell", "count"))
        if any(each.ndim != 1 or each.dtype.kind not in "iu" for each in (indptr, cell, count)):
            yield f"{prefix}indptr, {prefix}cell and {prefix}count are not lists of whole numbers"
        elif len(indptr) != number + 1 or (np.diff(indptr.astype(np.int64), prepend=0) < 0).any() or indptr[0] != 0:
            yield f"{prefix}indptr does not divide the cells among {number} samples"
        elif not indptr[-1] == len(cell) == len(count) or not _within(cell, most) or not _within(count):
            yield f"{prefix}cell and {prefix}count are not those of {num_classes} classes"


def _within(values: np.ndarray, most: int | None = None) -> bool:
    """Whether all are 0 or more, and below `most`."""
    return not len(values) or bool(values.min() >= 0 and (most is None or values.max() < most))
