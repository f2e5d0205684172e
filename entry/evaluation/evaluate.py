"""One evaluation, of a run, external weights or masks: its folder is replaced as a whole, and only by a complete one."""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback

from callbacks.calibration import Calibration
from callbacks.finite_logits import FiniteLogits
from callbacks.prediction_writer import FrameMasks
from callbacks.skipped_samples import SkippedSamples
from datamodules.base import ImageDataModule
from datamodules.files.masks import Mask
from datamodules.segmentation import SegmentationDataModule
from entry.builders.trainer import build_trainer
from entry.errors import IncompleteError
from entry.evaluation.baselines import baseline_data, pixel_baselines
from entry.evaluation.page import optional, write_page
from entry.evaluation.pictures import predict_shown
from entry.evaluation.summary import print_resized
from entry.run import Run, git_commit, session
from label_spaces.crosswalk import Crosswalk
from lightning_modules.classification import ClassificationModule
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.supervised import SupervisedModule
from metrics.counts import Counts
from metrics.slices import GREY
from reports.evaluation import Evaluation, scores_of, write_tables
from reports.figures.per_class import per_class_figure
from reports.figures.write import write_figures
from run_files import EpochRow, read_rows
from run_folder import RunFolder, Status, write_json, write_table, write_text
from settings.evaluation import EvaluationSettings
from settings.run import RunSettings

log = logging.getLogger(__name__)


def evaluate_model(run: Run, *, first: bool = True) -> Mapping[int, Mask]:
    """Evaluate the data module's test split, on every rank; the first one writes evaluation/<split>.

    Frames without truth are only predicted: the folder has their masks, and scores that are all undefined.
    Returns the masks, before a crosswalk, of the frames that the page shows, by their indices.
    """
    folder, module, datamodule = run.folder, run.module, run.datamodule
    split = datamodule.test_split
    origin = (
        {"file": run.weights.file, "epoch": None, "step": None} if run.checkpoint is None else run.checkpoint.origin
    )
    frames = datamodule if isinstance(datamodule, SegmentationDataModule) else None
    only_predicted = frames is not None and frames.only_predict(split)
    files = None
    if frames is not None and (only_predicted or run.settings.report.predictions):
        files = frames.prediction_files(split)

    def count(masks: Path | None) -> Counts:
        callbacks: list[Callback] = [FiniteLogits(datamodule.names)]
        mapping = None if run.crosswalk is None else run.crosswalk.mapping
        if frames is not None and files is not None:
            sizes = {index: frames.sizes[frames.names[index]] for index in files}
            callbacks.append(FrameMasks(masks, files, sizes, frames.label_space, mapping))
        calibration = None
        # A graph's class indices have no probabilities.
        if frames is not None and not only_predicted and getattr(module.network, "output", "logits") == "logits":
            groups = [datamodule.table.samples[each].group for each in datamodule.indices(split)]
            calibration = Calibration(datamodule.indices(split), groups, frames.label_space.num_classes, mapping)
            callbacks.append(calibration)
        callbacks += skipped_samples(run.settings, masks and masks.with_name("skipped.csv"))
        trainer = build_trainer(run.settings, run.machine, folder, headline=module.headline, callbacks=callbacks)
        counts = predict_split(trainer, module, datamodule)
        return counts if calibration is None else replace(counts, calibration=calibration.compute())

    shown: dict[int, Mask] = {}

    def show(counts: Counts) -> Mapping[int, Mask]:
        shown.update({} if only_predicted else predict_shown(run, counts))
        return shown

    if not first:
        count(None)
        return shown
    print_resized(datamodule, split)
    write_evaluation(
        folder,
        run.settings,
        datamodule,
        split,
        lambda target: count(target / "predictions"),
        origin=origin,
        crosswalk=run.crosswalk,
        show=show,
    )
    return shown


def skipped_samples(settings: RunSettings, path: Path | None) -> list[Callback]:
    """Return the callback that writes `path`, where samples are skipped."""
    return [SkippedSamples(path)] if settings.data.on_corrupt == "skip" else []


def write_evaluation(
    folder: RunFolder,
    settings: RunSettings,
    datamodule: ImageDataModule,
    split: str,
    count: Callable[[Path], Counts],
    *,
    origin: Mapping[str, Any],
    crosswalk: Crosswalk | None,
    show: Callable[[Counts], Mapping[int, Mask]],
) -> None:
    """Count a split once and write evaluation/<split>: configuration, status, scores, tables, figures and page.

    `count` is given the evaluation's folder, into which it may write predictions. `origin` is file, epoch and step of what
    predicted, `crosswalk` leads from its classes to the data's where they differ. `show` returns the masks, before the
    crosswalk, of the frames that the page shows. Raises IncompleteError where all but figures or the page could be written.
    """
    headline = (ClassificationModule if settings.model.task == "classification" else SegmentationModule).headline

    def fill(target: Path) -> None:
        write_text(target / "config.yaml", settings.to_yaml())
        with session(Status(target / "status.json", git_commit=git_commit())):
            counts = count(target)
            evaluation = collect(settings, folder, origin, datamodule, split, counts, crosswalk)
            scores = scores_of(evaluation)
            if truth := not (isinstance(datamodule, SegmentationDataModule) and datamodule.only_predict(split)):
                _write_tables(target, datamodule, evaluation, scores)
            else:
                write_json(target / "scores.json", scores)
        drawn = partial(_draw, target, folder, datamodule, evaluation, scores, headline)
        page = partial(write_page, target, folder, settings, datamodule, evaluation, headline, lambda: show(counts))
        missing = []
        for write in [*([drawn] if truth else []), *([page] if settings.report.html else [])]:
            try:
                write()
            except IncompleteError as error:
                missing.append(str(error))
        if missing:
            raise IncompleteError("\n".join(missing))

    replace_folder(folder.evaluation(split), fill)


def _write_tables(target: Path, datamodule: ImageDataModule, evaluation: Evaluation, scores: Mapping[str, Any]) -> None:
    """Write an evaluation's tables into the folder `target`."""
    write_tables(target, evaluation, scores)
    counts = datamodule.counts()
    columns = (found.values() for found in counts.values())
    rows = zip(evaluation.label_space.classes, *columns, strict=True)
    write_table(target / "class_counts.csv", ["name", *counts], rows)
    write_table(target / "image_sizes.csv", ["split", "size", "samples"], _image_sizes(datamodule, counts))


def _draw(
    target: Path,
    folder: RunFolder,
    datamodule: ImageDataModule,
    evaluation: Evaluation,
    scores: Mapping[str, Any],
    score: str,
) -> None:
    """Draw an evaluation's figures, with learning curves of `score`, into the folder `target`. Raises IncompleteError."""
    with optional(folder.evaluation(evaluation.split), "its figures", "For them type evaluate.py again."):
        write_figures(
            target / "figures",
            evaluation.counts.confusion,
            evaluation.label_space.classes,
            evaluation.split,
            read_rows(folder.history, EpochRow),
            datamodule.counts(),
            score,
            datamodule.unit,
        )
        statuses = () if evaluation.crosswalk is None else evaluation.crosswalk.statuses
        title = f"Each class, {evaluation.split} split"
        per_class_figure(scores["classes"], scores, target / "figures/per_class.png", title, statuses)


def _image_sizes(datamodule: ImageDataModule, splits: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """Yield the rows of image_sizes.csv: each split's sizes of images, where they are known, with the number of samples."""
    for split in splits:
        known = datamodule.extents(datamodule.indices(split)).get("image", np.empty((0, 2)))
        for (height, width), number in sorted(Counter(map(tuple, known.astype(int).tolist())).items()):
            yield split, f"{width}x{height}", number


def predict_split(trainer: lightning.Trainer, module: SupervisedModule, datamodule: ImageDataModule) -> Counts:
    """Predict the data module's test split once, on all ranks together, and return the counts of all of them."""
    assert isinstance(module, ClassificationModule | SegmentationModule)
    module.reset_stream("test")
    trainer.test(module, datamodule=datamodule, verbose=False)
    module.confusion_of("test").compute()  # raises where an accelerator left elements out
    counts = module.records_of("test").counts()
    if isinstance(module, SegmentationModule) and datamodule.region_sizes:
        return replace(counts, regions=module.regions.compute())
    return counts


def collect(
    settings: RunSettings,
    folder: RunFolder,
    origin: Mapping[str, Any],
    datamodule: ImageDataModule,
    split: str,
    counts: Counts,
    crosswalk: Crosswalk | None = None,
) -> Evaluation:
    """Everything that an evaluation's files are written from.

    `origin` is file, epoch and step of what predicted; `counts` are in its classes, which `crosswalk` maps to the data's
    where they differ.
    """
    table = datamodule.table
    n_expected = len(table.indices(split))
    if len(counts.index) < n_expected:
        seen = len(counts.index)
        cause = (
            "data.on_corrupt=skip: skipped.csv" if settings.trainer.limit_batches is None else "trainer.limit_batches"
        )
        log.warning("Only %d of %d samples of %s were evaluated (%s).", seen, n_expected, split, cause)
    task = settings.model.task
    known: dict[str, Any] = {}
    size = datamodule.scored_at(split) if isinstance(datamodule, SegmentationDataModule) else datamodule.eval_size
    if task == "classification":
        known["fitted_target"], features = baseline_data(datamodule, split, counts.index.tolist())
        known |= {"features": features, "brightness": features["mean_colour"][1] @ GREY}
    elif isinstance(datamodule, SegmentationDataModule) and counts.weight.any():
        found = pixel_baselines(datamodule, split, counts.index.tolist())
        known["pixel_baselines"], known["brightness"] = found
    samples = [table.samples[i] for i in counts.index.tolist()]
    if isinstance(datamodule, SegmentationDataModule):
        known["tags"] = datamodule.tags([sample.name for sample in samples])
    return Evaluation(
        task=task,
        split=split,
        label_space=datamodule.label_space,
        run=folder.path.name,
        checkpoint=origin,
        split_sha256=table.sha256(split),
        resolution=size,
        n_expected=n_expected,
        names=[sample.name for sample in samples],
        groups=np.array([sample.group for sample in samples]),
        training_counts=datamodule.class_counts("train"),
        counts=counts if crosswalk is None else counts.remapped(crosswalk.mapping),
        crosswalk=crosswalk,
        sizes=datamodule.extents(counts.index.tolist()),
        looks=None if settings.predictions else _views(settings.evaluation),
        **known,
    )


def _views(evaluation: EvaluationSettings) -> dict[str, Any]:
    """The keys of `evaluation` with the stride that was used, for scores.json."""
    stride = None if evaluation.window is None else list(evaluation.steps)
    window = None if evaluation.window is None else list(evaluation.window)
    return {"flip": evaluation.flip, "scales": evaluation.scales, "window": window, "stride": stride}


def replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Replace a folder as a whole by one that `fill` writes; an exception in `fill` leaves the old one as it was.

    IncompleteError, where the folder is worth having all the same, is raised at the end.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    incomplete = None
    try:
        try:
            fill(fresh)
        except IncompleteError as error:
            incomplete = error
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    if incomplete is not None:
        raise incomplete
