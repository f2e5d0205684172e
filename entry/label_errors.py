"""Candidates for label errors, from predictions of models that were not trained on the samples.

    errors = label_error_candidates(datamodule, [Path(RUN), Path(RUN)])     # the runs of a cross-validation
    errors = label_error_candidates(datamodule, [Path(DIR)])                # masks that any tool has predicted

Each fold is trained with ``data.split=FOLD.csv``, of which the samples to be judged are test, and with
``report.predictions=true`` where it predicts masks. That a folder of masks is out-of-fold is the user's word: a page says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
from run_folder import RunFolder, is_run, read_csv, read_json


class Candidate(NamedTuple):
    """A label that may be wrong.

    Args:
        sample: its name.
        true, predicted: the class that is labelled, and the one that is predicted.
        score: how much it looks like an error; comparable within one list only.
        pixels: of a region of a mask.
        box: left, top, width, height of the region in pixels.
        probability: of the predicted class, of an image.
    """

    sample: str
    true: str
    predicted: str
    score: float
    pixels: int | None = None
    box: tuple[int, int, int, int] | None = None
    probability: float | None = None


@dataclass(frozen=True)
class LabelErrors:
    """The candidates, the likeliest first; how many samples were judged, and how many could not be: no model that had not seen them predicted them."""

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
    runs = [RunFolder(path) for path in predictions if is_run(path)]
    masks = isinstance(datamodule, SegmentationDataModule)
    if len(runs) < len(predictions) and (len(predictions) > 1 or not masks):
        other = next(path for path in predictions if not is_run(path))
        instead = (
            "give run folders, or one folder of masks" if masks else "images with classes are judged by run folders"
        )
        raise RequestError(f"predictions: {other} is no run folder; {instead}.")
    names = [sample.name for sample in datamodule.table.samples]
    if isinstance(datamodule, SegmentationDataModule):
        files = _masks_of_runs(runs, names, datamodule) if runs else _masks_in(predictions[0], names, datamodule)
        found, judged = _regions(datamodule, files), len(files)
    else:
        found, judged = _images(datamodule, runs, {*names})
    if not judged:
        raise RequestError(
            "predictions: none of the runs has predictions of samples that it was not trained or selected on. Evaluate them on such: "
            f"python evaluate.py run=RUN_FOLDER split=test{' report.predictions=true' if masks else ''}"
        )
    best = sorted((each for each in found if each.score > 0), key=lambda each: (-each.score, each))
    return LabelErrors(best, judged, len(names) - judged)


def _may_judge(run: RunFolder) -> dict[str, str]:
    """The split of each sample of a run that neither weights nor checkpoint were fitted to."""
    split = {row["sample"]: row["split"] for row in read_csv(run.split)}
    fitted = ("train", SELECTION if SELECTION in split.values() else "val")
    return {name: where for name, where in split.items() if where not in fitted}


def _check_classes(run: RunFolder, classes: Sequence[str], datamodule: ImageDataModule) -> None:
    if tuple(classes) != tuple(datamodule.label_space.classes):
        both = " and ".join(", ".join(each[:3]) + ", …" for each in (classes, datamodule.label_space.classes))
        raise RequestError(
            f"predictions: {run.path} has other classes than the data, or in another order ({both}). Leave it out."
        )


def _masks_of_runs(
    runs: Sequence[RunFolder], names: Sequence[str], datamodule: SegmentationDataModule
) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for run in runs:
        if run.label_space.exists():
            _check_classes(run, read_json(run.label_space)["label_space"]["classes"], datamodule)
        judged = _may_judge(run)
        for name in names:
            if name in judged and name not in found:
                path = run.evaluation(judged[name]) / "predictions/ids" / datamodule.prediction_file(name)
                found |= {name: path} if path.is_file() else {}
    return found


def _masks_in(folder: Path, names: Sequence[str], datamodule: SegmentationDataModule) -> dict[str, Path]:
    matches = predicted_masks.match(names, datamodule.frames, folder)
    if not matches.files:
        raise RequestError(
            f"predictions={folder}: none of its masks is called as a frame of the data, such as {names[0]}."
        )
    return {name: folder / file for name, file in matches.files.items()}


def _regions(datamodule: SegmentationDataModule, files: dict[str, Path]) -> Iterable[Candidate]:
    space = datamodule.label_space
    classes, counts = space.classes, np.zeros((space.num_classes, space.num_classes), np.int64)

    def compare(name: str) -> tuple[list[Region], np.ndarray]:
        truth, predicted = datamodule.read_mask(name), image_mask(files[name], space)
        predicted = resize_mask(predicted, (truth.shape[0], truth.shape[1]))
        confusion = confusion_matrix(torch.from_numpy(predicted), torch.from_numpy(truth), space.num_classes)
        return disagreeing_regions(truth, predicted, space.void), confusion.numpy()[:-1, :-1]

    found = []
    for name, (regions, confusion) in zip(
        files, in_threads(compare, list(files), "Comparing predictions"), strict=True
    ):
        counts += confusion
        found += [(name, region) for region in regions]
    scores = region_scores([region for _, region in found], counts)
    for (name, region), score in zip(found, scores.tolist(), strict=True):
        yield Candidate(
            name, classes[region.true], classes[region.predicted], round(score, 3), region.pixels, region.box
        )


def _images(datamodule: ImageDataModule, runs: Sequence[RunFolder], names: set[str]) -> tuple[Iterable[Candidate], int]:
    rows: dict[str, tuple[int, int, float, float]] = {}
    classes = datamodule.label_space.classes
    for run in runs:
        judged = _may_judge(run)
        for split in sorted({*judged.values()}):
            folder = run.evaluation(split)
            if (folder / "per_sample.npz").is_file():
                _check_classes(run, [each["name"] for each in read_json(folder / "scores.json")["classes"]], datamodule)
                with np.load(folder / "per_sample.npz") as file:
                    columns = [file[key].tolist() for key in ("sample", "target", "prediction", "probability", "loss")]
                for name, target, prediction, probability, loss in zip(*columns, strict=True):
                    if name in names and judged.get(name) == split:
                        rows.setdefault(name, (target, prediction, probability, float(np.exp(-loss))))
    if not rows:
        return [], 0
    target, prediction, probability, own = (np.array(column) for column in zip(*rows.values(), strict=True))
    scores = image_scores(target, prediction, probability, own, len(classes))
    return [
        Candidate(name, classes[row[0]], classes[row[1]], round(score, 3), probability=round(row[2], 4))
        for (name, row), score in zip(rows.items(), scores.tolist(), strict=True)
    ], len(rows)
