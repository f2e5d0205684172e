"""The result of a cross-validation: one evaluation of all samples, each predicted by the model that was not trained on it.

    pool([Path(RUN), Path(RUN)], out=Path(FOLDER))      # the runs of data.folds=2 data.fold=0,1

The counts of the folds are added up and scored once, with intervals over drives. The scores of folds are no independent
measurements, as they share training data: they are listed, with their standard deviation, and no interval is made of them.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.errors import shortened
from datamodules.splits.sample_table import Sample, SampleTable
from entry.builders.crosswalk import own_space
from entry.comparable import evaluated_splits
from entry.comparison import SEED, differing
from entry.config.run_config import stored_settings
from entry.errors import RequestError
from entry.evaluation.evaluate import replace_folder
from label_spaces.space import LabelSpace
from metrics.counts import Counts, Predictions
from metrics.scores import SCORES, headline_of
from reports.evaluation import Evaluation, scores_of, write_tables
from reports.html.files import EvaluationFiles, read_files
from run_folder import RunFolder
from settings.run import RunSettings


def pool(runs: Sequence[Path], split: str = "test", *, out: Path) -> dict[str, Any]:
    """Write the evaluation of all folds together into the folder `out`, and return the content of its scores.json.

    The folder has scores.json, per_class.csv, confusion.csv, slices.csv, per_sample.npz, and of images calibration.csv. In
    scores.json `folds` has `n`, the `runs` and their `checkpoints` in the order of the folds, and by name the `scores` of each fold
    and their standard deviation `sd` (n - 1 in the denominator; None where a fold has no such score).

    Raises RequestError where the runs are not each fold of one cross-validation once, or were not evaluated on all of their samples.
    """
    settings = [stored_settings(RunFolder.open(run)) for run in runs]
    _check_settings(runs, settings)
    order = sorted(range(len(runs)), key=lambda place: settings[place].data.fold or 0)
    if lacking := [runs[place] for place in order if split not in evaluated_splits(runs[place])]:
        lines = [
            f"{run} has no evaluation of {split}. Type: python evaluate.py run={run} split={split}" for run in lacking
        ]
        raise RequestError("\n".join(lines))
    folders = [RunFolder(runs[place]) for place in order]
    files = [read_files(folder.evaluation(split), folder) for folder in folders]
    _check_samples(files)
    space = own_space(folders[0], settings[order[0]].data)
    if space is None or list(space.classes) != files[0].names:
        space = LabelSpace(files[0].scores["label_space"], tuple(files[0].names))
    evaluation = _pooled(files, split, space)
    scores = scores_of(evaluation) | {"baselines": _majority(files), "folds": _of_folds(files)}

    def fill(target: Path) -> None:
        write_tables(target, evaluation, scores)

    replace_folder(out, fill)
    return scores


def _check_settings(runs: Sequence[Path], settings: Sequence[RunSettings]) -> None:
    """Raise RequestError unless the runs are each fold of one cross-validation once."""
    if single := [run for run, each in zip(runs, settings, strict=True) if each.data.folds is None]:
        raise RequestError(
            f"{single[0]} is no fold of a cross-validation: it was trained without data.folds and data.fold."
        )
    for run, each in zip(runs, settings, strict=True):
        if keys := [*differing(settings[0], each, (*SEED, "data.fold"))]:
            raise RequestError(
                f"{runs[0]} and {run} are no folds of one cross-validation: they differ in {shortened(keys)}. Folds may differ in "
                "data.fold and seed only."
            )
    number, found = settings[0].data.folds or 0, Counter(each.data.fold for each in settings)
    if missing := [str(fold) for fold in range(number) if fold not in found]:
        raise RequestError(
            f"Of data.folds={number} there is no run of data.fold={','.join(missing)}, and the result is that of all samples. "
            "Train what is missing."
        )
    if twice := [fold for fold, count in found.items() if count > 1]:
        same = [str(run) for run, each in zip(runs, settings, strict=True) if each.data.fold == twice[0]]
        raise RequestError(
            f"data.fold={twice[0]} is there twice: {' and '.join(same)}. Each sample is tested once; leave one out."
        )


def _check_samples(files: Sequence[EvaluationFiles]) -> None:
    """Raise RequestError unless all folds have the same samples, each tested in one, and were scored alike and completely."""
    first = files[0]
    for each in files:
        run, scores = each.run.path, each.scores
        if scores["accuracy"] is None or scores["n_seen"] != scores["n_expected"]:
            raise RequestError(
                f"{run}: {scores['n_seen']} of {scores['n_expected']} samples of {scores['split']} are scored, and the result is that of "
                f"all samples. Type: python evaluate.py run={run} split={scores['split']} trainer.limit_batches=null"
            )
        if each.names != first.names or scores["policy"] != first.scores["policy"]:
            raise RequestError(
                f"{first.run.path} and {run} were scored in other classes or by another policy (scores.json)."
            )
        if _facts(each) != _facts(first):
            raise RequestError(
                f"{first.run.path} and {run} were trained on other samples (split.csv): their data has changed."
            )
    tested = Counter(name for each in files for name in each.samples["sample"].tolist())
    if twice := [name for name, count in tested.items() if count > 1]:
        raise RequestError(
            f"{len(twice)} samples are tested in several folds: {shortened(twice)}. Train all folds on the same data."
        )
    if never := [row["sample"] for row in first.split if row["sample"] not in tested]:
        raise RequestError(
            f"{len(never)} samples are tested in no fold: {shortened(never)}. Train all folds on the same data."
        )


def _facts(files: EvaluationFiles) -> list[tuple[str, ...]]:
    return [(row["sample"], row["group"], row["target"]) for row in files.split]


def _pooled(files: Sequence[EvaluationFiles], split: str, space: LabelSpace) -> Evaluation:
    """The counts of all folds as one evaluation, its samples sorted by name."""
    from scipy.sparse import csr_array, vstack

    first, side = files[0].scores, space.num_classes + 1
    columns = {name: np.concatenate([each.samples[name] for each in files]) for name in ("sample", "group", "loss")}
    order = np.argsort(columns["sample"])
    matrices = csr_array(vstack([each.matrices for each in files]))[order]
    images = [each.predictions for each in files if each.predictions is not None]
    predictions = Predictions(*(np.concatenate(each)[order] for each in zip(*images, strict=True))) if images else None
    counts = Counts(
        confusion=matrices.sum(axis=0).reshape(side, side),
        index=np.arange(len(order)),
        matrices=matrices,
        loss=columns["loss"][order],
        weight=matrices[:, : side * (side - 1)].sum(axis=1),
        predictions=predictions,
    )
    rows = [row for each in files for row in each.split if row["split"] == split]
    table = SampleTable(Sample(row["sample"], row["group"], row["target"], split) for row in rows)
    return Evaluation(
        task=first["task"],
        split=split,
        label_space=space,
        run=files[0].run.path.parent.name,
        checkpoint={"file": None, "epoch": None, "step": None},
        split_sha256=table.sha256(),
        resolution=first["policy"]["resolution"],
        n_expected=len(table),
        names=columns["sample"][order].tolist(),
        groups=columns["group"][order],
        training_counts=[0] * space.num_classes,
        counts=counts,
        looks=first["policy"]["looks"],
    )


def _majority(files: Sequence[EvaluationFiles]) -> dict[str, Any]:
    """The scores of predicting in each fold the commonest class of what its model was trained on."""
    always = np.zeros((len(files[0].names) + 1,) * 2, dtype=np.int64)
    for each in files:
        commonest = np.argmax([int(row["train"]) for row in each.class_counts])
        always[:, commonest] += each.matrices.sum(axis=0).reshape(always.shape).sum(axis=1)
    return {"majority": headline_of(always, files[0].scores["task"])}


def _of_folds(files: Sequence[EvaluationFiles]) -> dict[str, Any]:
    """The `folds` of scores.json."""
    listed: dict[str, list[Any]] = {name: [each.scores.get(name) for each in files] for name in SCORES}
    scores = {name: values for name, values in listed.items() if any(value is not None for value in values)}
    return {
        "n": len(files),
        "runs": [each.run.path.name for each in files],
        "checkpoints": [each.scores["checkpoint"] for each in files],
        "scores": scores,
        "sd": {name: None if None in values else float(np.std(values, ddof=1)) for name, values in scores.items()},
    }
