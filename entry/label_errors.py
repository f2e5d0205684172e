"""Candidates for label errors, from predictions of models that were not trained on the samples.

    errors = label_error_candidates(datamodule, [Path(RUN), Path(RUN)])     # the runs of a cross-validation
    errors = label_error_candidates(datamodule, [Path(DIR)])                # masks that any tool has predicted

Each fold is trained with ``data.folds=5 data.fold=0`` and so on, or with ``data.split=FOLD.csv``, of which the samples to be
judged are test, and with ``report.predictions=true`` where it predicts masks. That a folder of masks is out-of-fold cannot be checked: the page has a sentence on it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from datamodules import predicted_masks
from datamodules.base import ImageDataModule
from datamodules.files.audit import in_threads
from datamodules.files.images import resize_mask
from datamodules.files.masks import image_mask
from datamodules.segmentation import SegmentationDataModule
from datamodules.splits.sample_table import SELECTION
from entry.errors import RequestError
from metrics.counting import confusion_matrix
from metrics.label_errors import Region, disagreeing_regions, image_scores, region_scores
from reports.evaluation_files import read_classes, read_samples
from run_files import read_csv
from run_folder import RunFolder, is_run


class Candidate(NamedTuple):
    """A label that may be wrong.

    Args:
        sample: its name.
        true, predicted: the class that is labelled, and the one that is predicted.
        score: how much it looks like an error; comparable within one list only.
        pixels, box: of a region of a mask; the box is left, top, width, height.
        probability: of an image's predicted class.
    """

    sample: str
    true: str
    predicted: str
    score: float
    pixels: int | None = None
    box: tuple[int, int, int, int] | None = None
    probability: float | None = None


class LabelErrors(NamedTuple):
    """The candidates, likeliest first; how many samples were judged, and how many no out-of-fold prediction exists of."""

    candidates: list[Candidate]
    judged: int
    left_out: int


def label_error_candidates(datamodule: ImageDataModule, predictions: Sequence[Path]) -> LabelErrors:
    """Compare the labels of a data module, whose samples are found, with out-of-fold predictions.

    Args:
        datamodule: its masks, or the classes of its images, are in doubt.
        predictions: run folders, of each of which only samples count that it was neither trained nor selected on; or one folder
            of masks, with the data's ids and called as `predicted_masks.match` has it.

    Raises:
        RequestError: there are neither, they have other classes, or no sample can be judged.
        DatasetError: a mask cannot be read, or fits no frame.
    """
    masks = isinstance(datamodule, SegmentationDataModule)
    other = next((path for path in predictions if not is_run(path)), None)
    if other is not None and (len(predictions) > 1 or not masks):
        instead = (
            "give run folders, or one folder of masks" if masks else "images with classes are judged by run folders"
        )
        raise RequestError(f"predictions: {other} is no run folder; {instead}.")
    names = [sample.name for sample in datamodule.table.samples]
    judgements = _out_of_fold(predictions, names, datamodule.label_space.classes) if other is None else ()
    if isinstance(datamodule, SegmentationDataModule):
        files = _masks_in(other, names, datamodule) if other else _masks_of(judgements, datamodule)
        found, judged = _regions(datamodule, files), len(files)
    else:
        rows = _rows(judgements, datamodule.label_space.num_classes)
        found, judged = _images(datamodule.label_space.classes, rows), len(rows)
    if not judged:
        raise RequestError(
            "predictions: none of the runs has predictions of samples that it was not trained or selected on. Evaluate them on such: "
            f"python evaluate.py run=RUN_FOLDER split=test{' report.predictions=true' if masks else ''}"
        )
    best = sorted((each for each in found if each.score > 0), key=lambda each: (-each.score, each))
    return LabelErrors(best, judged, len(names) - judged)


def _out_of_fold(
    runs: Sequence[Path], names: Sequence[str], classes: Sequence[str]
) -> Iterator[tuple[Path, list[str]]]:
    """Yield the evaluations of runs, and the samples of each that neither weights nor checkpoint were fitted to."""
    for run in map(RunFolder, runs):
        split = {row["sample"]: row["split"] for row in read_csv(run.split)}
        fitted = {"train", SELECTION if SELECTION in split.values() else "val"}
        for part in sorted({*split.values()} - fitted):
            folder = run.evaluation(part)
            if (folder / "scores.json").is_file():
                theirs = read_classes(folder / "scores.json")
                if theirs != [*classes]:
                    both = " and ".join(", ".join(each[:3]) + ", …" for each in (theirs, classes))
                    raise RequestError(f"predictions: {run.path} has other classes than the data, or in another order ({both}). Leave it out.")  # fmt: skip
                yield folder, [name for name in names if split.get(name) == part]


def _masks_of(judgements: Iterable[tuple[Path, list[str]]], datamodule: SegmentationDataModule) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder, names in judgements:
        paths = {name: folder / "predictions/ids" / datamodule.prediction_file(name) for name in names}
        found = {name: path for name, path in paths.items() if path.is_file()} | found
    return found


def _masks_in(folder: Path, names: Sequence[str], datamodule: SegmentationDataModule) -> dict[str, Path]:
    files = predicted_masks.match(names, datamodule.frames, folder).files
    if not files:
        raise RequestError(
            f"predictions={folder}: none of its masks is called as a frame of the data, such as {names[0]}."
        )
    return {name: folder / file for name, file in files.items()}


def _regions(datamodule: SegmentationDataModule, files: Mapping[str, Path]) -> Iterator[Candidate]:
    space = datamodule.label_space
    counts = np.zeros((space.num_classes, space.num_classes), np.int64)

    def compare(name: str) -> tuple[list[Region], np.ndarray]:
        truth = datamodule.read_mask(name)
        predicted = resize_mask(image_mask(files[name], space), (truth.shape[0], truth.shape[1]))
        confusion = confusion_matrix(torch.from_numpy(predicted), torch.from_numpy(truth), space.num_classes)
        return disagreeing_regions(truth, predicted, space.void), confusion.numpy()[:-1, :-1]

    found: list[tuple[str, Region]] = []
    for name, (regions, confusion) in zip(files, in_threads(compare, [*files], "Comparing predictions"), strict=True):
        counts += confusion
        found += [(name, region) for region in regions]
    scores = region_scores([region for _, region in found], counts).tolist()
    for (name, (true, predicted, pixels, _, box)), score in zip(found, scores, strict=True):
        yield Candidate(name, space.classes[true], space.classes[predicted], round(score, 3), pixels, box)


def _rows(judgements: Iterable[tuple[Path, list[str]]], number: int) -> dict[str, tuple[int, int, float, float]]:
    """The label, the prediction, its probability and its loss of each image."""
    rows: dict[str, tuple[int, int, float, float]] = {}
    for folder, names in judgements:
        file = read_samples(folder / "per_sample.npz", number)
        if "target" not in file:
            raise RequestError(f"predictions: {folder} has masks, and the data has images with classes. Leave it out.")
        columns = [file[key].tolist() for key in ("sample", "target", "prediction", "probability", "loss")]
        found = {name: row for name, *row in zip(*columns, strict=True)}
        rows = {name: tuple(found[name]) for name in names if name in found} | rows
    return rows


def _images(classes: Sequence[str], rows: Mapping[str, tuple[int, int, float, float]]) -> Iterator[Candidate]:
    if rows:
        target, prediction, probability, loss = (np.array(column) for column in zip(*rows.values(), strict=True))
        scores = image_scores(target, prediction, probability, np.exp(-loss), len(classes)).tolist()
        for (name, row), score in zip(rows.items(), scores, strict=True):
            yield Candidate(name, classes[row[0]], classes[row[1]], round(score, 3), probability=round(row[2], 4))
