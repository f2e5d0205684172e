"""The folder of an evaluation: replaced as a whole, and only by one whose every file is there."""

from pathlib import Path
from typing import Any, cast

from callbacks.finite_logits import FiniteLogits
from callbacks.prediction_writer import FrameMasks
from datamodules.base import ImageDataModule
from datamodules.segmentation import SegmentationDataModule
from entry import console
from entry.build.modules import build_trainer
from entry.config.resolve import to_yaml
from entry.evaluation.checkpoint import collect, evaluate, find_checkpoint, load
from entry.run import Run
from entry.session import session
from metrics.counts import Counts
from reports.evaluation import Evaluation, scores_of, write_tables
from reports.figures.per_class import per_class_figure
from reports.figures.write import write_figures
from run_folder import RunFolder, Status, read_csv, replace_folder, write_json, write_text


def evaluate_into(run: Run, *, checkpoint: str | None, split: str, first: bool = True) -> None:
    """Evaluate on a split, on every rank; the first one puts everything into evaluation/<split>.

    Frames that have no truth are only predicted: the folder has their masks, and scores that are all undefined.

    Args:
        run: with its module.
        checkpoint: best, last or a path; None: the weights that the module has already.
        split: which samples.
        first: whether this is the rank that writes.
    """
    folder, module, datamodule = run.folder, run.module, run.datamodule
    origin = {"file": run.weights.file, "epoch": None, "step": None}
    if checkpoint is not None:
        found = find_checkpoint(folder, checkpoint)
        load(module, found)
        origin = found.origin
    frames = datamodule if isinstance(datamodule, SegmentationDataModule) else None
    only_predicted = frames is not None and frames.only_predict(split)
    files = None
    if frames is not None and (only_predicted or run.config["report"].get("predictions")):
        files = frames.prediction_files(split)

    mapping = None if run.crosswalk is None else run.crosswalk.mapping

    def counted(masks: Path | None) -> Counts:
        trainer = build_trainer(run.config, run.machine, folder, headline=module.headline)
        cast(Any, trainer).callbacks.append(FiniteLogits(datamodule.names))
        if frames is not None and files is not None:
            sizes = {index: frames.sizes[frames.names[index]] for index in files}
            cast(Any, trainer).callbacks.append(FrameMasks(masks, files, sizes, frames.label_space, mapping))
        return evaluate(trainer, module, datamodule, split)

    def fill(target: Path) -> None:
        write_text(target / "config.yaml", to_yaml(run.config))
        with session(Status(target / "status.json")):
            evaluation = collect(
                run.config, folder, origin, datamodule, split, counted(target / "predictions"), run.crosswalk
            )
            if only_predicted:
                write_json(target / "scores.json", scores_of(evaluation))
            else:
                write_results(target, folder, datamodule, evaluation, module.headline)

    if first:
        console.resized(datamodule, split)
        replace_folder(folder.evaluation(split), fill)
    else:
        counted(None)


def write_results(
    target: Path, folder: RunFolder, datamodule: ImageDataModule, evaluation: Evaluation, score: str
) -> None:
    """Write an evaluation's tables and figures, with learning curves of `score`, into the folder `target`."""
    scores = scores_of(evaluation)
    write_tables(target, evaluation, scores)
    write_figures(
        target / "figures",
        evaluation.counts.confusion,
        evaluation.label_space.classes,
        evaluation.split,
        read_csv(folder.history) if folder.history.exists() else [],
        datamodule.counts(),
        score,
        datamodule.unit,
    )
    statuses = () if evaluation.crosswalk is None else evaluation.crosswalk.statuses
    title = f"Each class, {evaluation.split} split"
    per_class_figure(scores["classes"], scores, target / "figures/per_class.png", title, statuses)
