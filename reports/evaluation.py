"""An evaluation's folder: scores, tables and per-sample counts, all from one `Counts`."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from label_spaces.crosswalk import Crosswalk
from label_spaces.space import VOID, LabelSpace
from metrics.baselines import baseline_scores
from metrics.calibration import REGIONS, CalibrationSums, bundles, calibration_rows
from metrics.counts import Counts
from metrics.intervals import jackknife_intervals, sum_by_group
from metrics.scores import SCORES, class_scores, mean_scores
from metrics.slices import by_brightness, by_image_size, by_object_size, by_tag, region_scores, slice_scores
from reports.intervals import few_groups
from reports.pixels import pixel_scores
from run_folder import atomic, write_csv, write_json, write_table

SCHEMA = 1


@dataclass(frozen=True)
class Evaluation:
    """What was evaluated, and what was counted.

    Args:
        task: ``classification`` or ``segmentation``.
        split: ``train``, ``val`` or ``test``.
        label_space: the dataset's.
        run: the run folder's name.
        checkpoint: file, epoch and step.
        split_sha256: of the evaluated split's rows in split.csv.
        resolution: (height, width) of the predictions; None where external masks have each their frame's own.
        n_expected: the number of samples in the split.
        names: of the M samples that were counted, in the order of the counts: paths relative to the data's root.
        groups: (M,) their drives, or their names where there are no drives.
        training_counts: samples per class in the training split.
        counts: in the classes of `label_space`.
        fitted_target: (N,) class indices of the training samples that baselines are fitted to.
        features: of the baselines, by name: (N, d) of those samples, and (M, d).
        pixel_baselines: for masks, the scores of baselines without a network, by name.
        crosswalk: from the label space of the predictions, where that is another.
        sizes: (M, 2) heights and widths in pixels of each sample's ``image`` and ``object``, where these are known.
        brightness: (M,) the mean grey values of the images, 0–255, where these are known.
        tags: by name, such as ``weather``, what the dataset has about each of the M samples.
        looks: the test-time augmentation and the windows, the keys of `evaluation`; None where they are unknown.
    """

    task: str
    split: str
    label_space: LabelSpace
    run: str
    checkpoint: Mapping[str, Any]
    split_sha256: str
    resolution: Sequence[int] | None
    n_expected: int
    names: Sequence[str]
    groups: NDArray[np.str_]
    training_counts: Sequence[int]
    counts: Counts
    fitted_target: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    features: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    pixel_baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    crosswalk: Crosswalk | None = None
    sizes: Mapping[str, np.ndarray] = field(default_factory=dict)
    brightness: NDArray[np.float64] | None = None
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    looks: Mapping[str, Any] | None = None


def scores_of(evaluation: Evaluation) -> dict[str, Any]:
    """Return the content of scores.json; what is undefined or does not exist for the task is None."""
    counts, space = evaluation.counts, evaluation.label_space
    means = mean_scores(counts.confusion)
    drives = sum_by_group(counts.matrices, evaluation.groups)
    if evaluation.task == "classification":
        of_task: dict[str, Any] = {"intervals": jackknife_intervals(drives)}
    else:
        of_task = pixel_scores(counts, space, evaluation.groups, evaluation.crosswalk)
    undefined = np.isnan(counts.loss[counts.weight > 0]).all()
    return {
        "schema": SCHEMA,
        "task": evaluation.task,
        "split": evaluation.split,
        "label_space": space.name,
        "run": evaluation.run,
        "checkpoint": dict(evaluation.checkpoint),
        "split_sha256": evaluation.split_sha256,
        "policy": {
            "void_truth": "ignored",
            "void_prediction": "miss",
            "resolution": evaluation.resolution and list(evaluation.resolution),
            "looks": evaluation.looks,
        },
        "n_expected": evaluation.n_expected,
        "n_seen": len(counts.index),
        "n_unique": len(np.unique(counts.index)),
        "void_rate": means["void_rate"],
        "loss": None if undefined else counts.mean_loss(),
        **{name: means.get(name) for name in SCORES},
        **{name: value for name, value in means.items() if name not in SCORES},
        "safe_miou_classes": None,
        "levels": None,
        "crossing": None,
        "autonue_compat": None,
        **of_task,
        "few_groups": few_groups(drives, space),
        "baselines": baselines(evaluation),
        "classes": class_scores(counts.confusion, space.classes),
    }


def baselines(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Return the scores without a network: of the commonest training class, of regressions on features, or of pixel baselines."""
    predictions = evaluation.counts.predictions
    if predictions is None:
        return {name: dict(scores) for name, scores in evaluation.pixel_baselines.items()}
    counts, target = np.asarray(evaluation.training_counts), predictions.target
    # The commonest class is that of all training samples, though the others are fitted to a part of them.
    commonest = baseline_scores(np.repeat(np.arange(len(counts)), counts), target, len(counts))
    return {**baseline_scores(evaluation.fitted_target, target, len(counts), evaluation.features), **commonest}


def slices(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the rows of slices.csv: by drive, tags, size of images and objects, brightness, and size of regions, as far as known."""
    sizes, counts = evaluation.sizes, evaluation.counts
    parts = [by_tag("drive", evaluation.groups)] if list(evaluation.names) != evaluation.groups.tolist() else []
    parts += [by_tag(name, values) for name, values in evaluation.tags.items()]
    by_size = {"image": by_image_size, "object": by_object_size}
    parts += [by_size[what](sizes[what]) for what in by_size if what in sizes]
    parts += [] if evaluation.brightness is None else [by_brightness(evaluation.brightness)]
    return slice_scores(counts.matrices, parts) + (region_scores(counts.regions) if counts.regions else [])


def calibration(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the rows of calibration.csv; none where probabilities are unknown, as of masks that were made elsewhere."""
    classes, predictions, sums = evaluation.label_space.classes, evaluation.counts.predictions, evaluation.counts.calibration  # fmt: skip
    if predictions is None:
        return [] if sums is None else calibration_rows(sums, classes, REGIONS)
    groups = torch.from_numpy(bundles(evaluation.groups))
    images = CalibrationSums(int(groups.max()) + 1, len(classes), sync_on_compute=False)  # of all ranks already
    target, prediction, probability = (torch.from_numpy(each) for each in predictions)
    images.update(probability, prediction, target, groups, torch.zeros(len(groups), dtype=torch.bool))
    return calibration_rows(images.compute(), classes, REGIONS[:1])


def write_tables(folder: Path, evaluation: Evaluation, scores: Mapping[str, Any]) -> None:
    """Write scores.json, per_class.csv, confusion.csv, slices.csv, per_sample.npz, and where they exist calibration.csv and uncrossed.csv."""
    counts, names = evaluation.counts, [*evaluation.label_space.classes, VOID]
    write_json(folder / "scores.json", scores)
    write_csv(folder / "per_class.csv", scores["classes"])
    _write_matrix(folder / "confusion.csv", counts.confusion, names, names)
    if evaluation.crosswalk is not None and counts.before is not None:
        predicted = [*evaluation.crosswalk.source.classes, VOID]
        _write_matrix(folder / "uncrossed.csv", counts.before.confusion, names, predicted)
    write_csv(folder / "slices.csv", slices(evaluation))
    if rows := calibration(evaluation):
        write_csv(folder / "calibration.csv", rows)
    _write_samples(folder / "per_sample.npz", evaluation)


def _write_matrix(path: Path, counts: NDArray[np.int64], truth: Sequence[str], predicted: Sequence[str]) -> None:
    # By place: a class may be called truth or void.
    rows = ([name, *row] for name, row in zip(truth, counts.tolist(), strict=True))
    write_table(path, ["truth", *predicted], rows)


def _write_samples(path: Path, evaluation: Evaluation) -> None:
    """Write each sample's name, group, loss, prediction and sparse matrix (cell = truth · (C+1) + prediction).

    Where the counts were remapped, `uncrossed_…` has the matrices before (cell = truth · (S+1) + source class).
    """
    counts = evaluation.counts
    columns: dict[str, Any] = {
        "sample": np.array(evaluation.names),
        "group": evaluation.groups,
        "loss": counts.loss,
    }
    for prefix, each in (("", counts), ("uncrossed_", counts.before)):
        if each is not None:
            cells = {"indptr": each.matrices.indptr, "cell": each.matrices.indices, "count": each.matrices.data}
            columns |= {f"{prefix}{name}": values for name, values in cells.items()}
    if counts.predictions is not None:
        columns |= counts.predictions._asdict()
    content = io.BytesIO()
    np.savez_compressed(content, **columns)
    with atomic(path) as file:
        file.write(content.getbuffer())
