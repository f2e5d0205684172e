"""An evaluation's folder: scores, tables, per-sample facts and figures, all from one matrix and one list of samples."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from label_spaces.crosswalk import Crosswalk
from label_spaces.space import LabelSpace
from metrics.baselines import baseline_scores
from metrics.intervals import jackknife_intervals, mean_interval, sample_matrices, sum_by_group
from metrics.per_image import image_mious
from metrics.scores import class_scores, mean_scores
from metrics.slices import by_drive, by_image_size, by_object_size, region_scores, slice_scores
from reports.crosswalk import crossed_levels, crossing
from reports.intervals import (
    crossed_level_intervals,
    crossing_intervals,
    few_groups,
    level_intervals,
    pixel_intervals,
)
from reports.pixels import pixel_scores
from run_folder import atomic, write_csv, write_json

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SCHEMA = 1
MEANS = (
    "accuracy",
    "f1_macro",
    "f1_weighted",
    "precision_macro",
    "recall_macro",
    "miou",
    "miou_present",
    "miou_image",
    "fwiou",
    "safe_miou",
)


class NamedSample(Protocol):
    """What is needed to know of an evaluated sample: its name, and the group whose samples resemble it."""

    @property
    def name(self) -> str:
        """Path relative to the data's root."""

    @property
    def group(self) -> str:
        """The drive, or the sample itself where there are no drives."""


@dataclass(frozen=True)
class Evaluation:
    """What was evaluated, and what was counted.

    Args:
        task: ``classification`` or ``segmentation``.
        split: which samples.
        label_space: the classes.
        run: the run folder's name.
        checkpoint: file, epoch and step.
        split_sha256: of the evaluated split's rows in split.csv.
        resolution: (height, width) at which was predicted; None where masks from elsewhere have each their frame's own.
        n_expected: how many samples the split has.
        samples: those that were counted, in the order of the facts.
        training_counts: samples per class in the training split.
        facts: confusion (C + 1, C + 1); per sample index and loss; for classification target, prediction and probability, for
            segmentation matrices ((N, (C + 1)²) sparse counts) and weight, the pixels that a loss is the mean of, and where
            asked for region_matrices (3, C + 1, C + 1) and region_frames (3,) of `metrics.regions.RegionConfusion`; where
            another label space was crossed also uncrossed (C + 1, S + 1) and uncrossed_matrices.
        fitted_target: (N,) class indices of the training samples that baselines are fitted to.
        pixel_baselines: for masks, the scores of what needs no network, by name.
        crosswalk: from the label space of S classes that was predicted in, where it is another.
        sizes: (M, 2) heights and widths in pixels of each sample's ``image`` and ``object``, where these are known.
        features: what a baseline looks at, by its name: (N, d) of those samples, and (M, d) in the order of the facts.
        looks: how often and in which windows each image was looked at, the keys of `evaluation`; None where nobody knows.
    """

    task: str
    split: str
    label_space: LabelSpace
    run: str
    checkpoint: Mapping[str, Any]
    split_sha256: str
    resolution: Sequence[int] | None
    n_expected: int
    samples: Sequence[NamedSample]
    training_counts: Sequence[int]
    facts: Mapping[str, Any]
    fitted_target: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    features: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    pixel_baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    crosswalk: Crosswalk | None = None
    sizes: Mapping[str, np.ndarray] = field(default_factory=dict)
    looks: Mapping[str, Any] | None = None


def scores_of(evaluation: Evaluation) -> dict[str, Any]:
    """The content of scores.json; what is undefined or does not exist for the task is None."""
    facts, classes = evaluation.facts, evaluation.label_space.classes
    matrix = torch.from_numpy(facts["confusion"])
    means = mean_scores(matrix)
    of_pixels = pixel_scores(matrix, facts["matrices"], evaluation.label_space) if "matrices" in facts else {}
    found = {**of_pixels, **_crossing(evaluation)}
    return {
        "schema": SCHEMA,
        "task": evaluation.task,
        "split": evaluation.split,
        "label_space": evaluation.label_space.name,
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
        "n_seen": len(facts["index"]),
        "n_unique": len(np.unique(facts["index"])),
        "void_rate": means["void_rate"],
        "loss": mean_loss(facts),
        **{name: means.get(name) for name in MEANS},
        **{name: value for name, value in means.items() if name.endswith("_classes")},
        "safe_miou_classes": None,
        "levels": None,
        "crossing": None,
        "autonue_compat": None,
        **found,
        **_intervals(evaluation, found.get("levels")),
        "baselines": baselines(evaluation),
        "classes": class_scores(matrix, classes),
    }


def _crossing(evaluation: Evaluation) -> dict[str, Any]:
    """What is different where another label space was crossed."""
    if evaluation.crosswalk is None:
        return {}
    uncrossed = torch.from_numpy(evaluation.facts["uncrossed"])
    return {
        "crossing": crossing(uncrossed, evaluation.crosswalk),
        "levels": crossed_levels(uncrossed, evaluation.crosswalk) or None,
    }


def mean_loss(facts: Mapping[str, Any]) -> float | None:
    """The mean over images, or over all pixels with truth; summed exactly, in the order of the samples.

    None where there is none: nothing has truth, or what predicted has no loss.
    """
    loss = facts["loss"].astype(np.float64)
    weight = facts.get("weight", np.ones(len(loss)))
    known = weight > 0
    if np.isnan(loss[known]).all():
        return None
    return math.fsum((loss[known] * weight[known]).tolist()) / float(weight.sum()) if known.any() else None


def baselines(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """What can be had without a network: the commonest training class everywhere, and a regression on each set of features."""
    if evaluation.task != "classification":
        return {name: dict(scores) for name, scores in evaluation.pixel_baselines.items()}
    counts, target = np.asarray(evaluation.training_counts), evaluation.facts["target"]
    # The commonest class is that of all training samples, though the others are fitted to a part of them.
    commonest = baseline_scores(np.repeat(np.arange(len(counts)), counts), target, len(counts))
    return {**baseline_scores(evaluation.fitted_target, target, len(counts), evaluation.features), **commonest}


def _intervals(evaluation: Evaluation, found_levels: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the drives say of how far each score may be trusted."""
    groups = np.array([sample.group for sample in evaluation.samples])
    drives, space, walk = sum_by_group(_matrices(evaluation), groups), evaluation.label_space, evaluation.crosswalk
    told = {"few_groups": few_groups(drives, space)}
    if evaluation.task == "classification":
        return {"intervals": jackknife_intervals(drives), **told}
    if walk is None:
        spread, by_level = pixel_intervals(drives, space), level_intervals(drives, space)
    else:
        uncrossed = sum_by_group(evaluation.facts["uncrossed_matrices"], groups)
        spread = pixel_intervals(drives, space) | crossing_intervals(uncrossed, walk)
        by_level = crossed_level_intervals(uncrossed, walk)
    spread["miou_image"] = mean_interval(image_mious(_matrices(evaluation)), groups)
    levels = {name: {**level, "intervals": by_level[name]} for name, level in (found_levels or {}).items()}
    return {"intervals": spread, **told, "levels": levels or None}


def _matrices(evaluation: Evaluation) -> "csr_array":
    facts = evaluation.facts
    if "matrices" in facts:
        return facts["matrices"]
    return sample_matrices(facts["target"], facts["prediction"], evaluation.label_space.num_classes)


def slices(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The scores of each drive, of each size of image, of objects and of regions by their size, whichever of these there are."""
    samples, sizes, facts = evaluation.samples, evaluation.sizes, evaluation.facts
    drives = [by_drive([sample.group for sample in samples])] if any(s.group != s.name for s in samples) else []
    ways = {"image": by_image_size, "object": by_object_size}
    parts = [*drives, *(ways[what](sizes[what]) for what in ways if what in sizes)]
    regions = region_scores(facts["region_matrices"], facts["region_frames"]) if "region_matrices" in facts else []
    return slice_scores(_matrices(evaluation), parts) + regions


def write_tables(folder: Path, evaluation: Evaluation, scores: Mapping[str, Any]) -> None:
    """Write scores.json, per_class.csv, confusion.csv, slices.csv, per_sample.npz, and where there was a crossing uncrossed.csv."""
    names = [*evaluation.label_space.classes, "void"]
    write_json(folder / "scores.json", scores)
    write_csv(folder / "per_class.csv", scores["classes"])
    _write_matrix(folder / "confusion.csv", evaluation.facts["confusion"], names, names)
    if evaluation.crosswalk is not None:
        said = [*evaluation.crosswalk.source.classes, "void"]
        _write_matrix(folder / "uncrossed.csv", evaluation.facts["uncrossed"], names, said)
    write_csv(folder / "slices.csv", slices(evaluation))
    _write_samples(folder / "per_sample.npz", evaluation)


def _write_matrix(path: Path, counts: np.ndarray, truth: Sequence[str], said: Sequence[str]) -> None:
    rows = [
        {"truth": name, **dict(zip(said, row, strict=True))} for name, row in zip(truth, counts.tolist(), strict=True)
    ]
    write_csv(path, rows, ["truth", *said])


def _write_samples(path: Path, evaluation: Evaluation) -> None:
    """The sparse matrix of each sample (cell = truth · (C + 1) + prediction), and what was said of it.

    The same before the crossing, where there was one (cell = truth · (S + 1) + source class), as `uncrossed_…`.
    """
    facts, cells = evaluation.facts, _matrices(evaluation)
    uncrossed = facts.get("uncrossed_matrices")
    before = (
        {"indptr": uncrossed.indptr, "cell": uncrossed.indices, "count": uncrossed.data}
        if uncrossed is not None
        else {}
    )
    content = io.BytesIO()
    np.savez_compressed(
        content,
        sample=np.array([sample.name for sample in evaluation.samples]),
        group=np.array([sample.group for sample in evaluation.samples]),
        loss=facts["loss"],
        indptr=cells.indptr,
        cell=cells.indices,
        count=cells.data,
        **{name: facts[name] for name in ("target", "prediction", "probability") if name in facts},
        **{f"uncrossed_{name}": values for name, values in before.items()},
    )
    with atomic(path) as file:
        file.write(content.getbuffer())
