"""The folder of an evaluation: replaced as a whole, and only by one whose every file is there."""

from pathlib import Path
from typing import Any, cast

import numpy as np

from callbacks.mask_writer import FrameMasks
from datamodules.segmentation import SegmentationDataModule
from entry import announce
from entry.build import build_trainer
from entry.evaluation import collect, evaluate, find_checkpoint, load
from entry.request import to_yaml
from entry.runs import Run
from entry.session import session
from reports.evaluation import Evaluation, scores_of, write_tables
from reports.figures import write_figures
from run_folder import Status, read_csv, replace_folder, write_json, write_text


def evaluate_into(run: Run, *, checkpoint: str, split: str, first: bool = True) -> None:
    """Evaluate a checkpoint on a split, on every rank; the first one puts everything into evaluation/<split>.

    Frames that have no truth are only predicted: the folder has their masks, and scores that are all undefined.
    """
    folder, module, datamodule = run.folder, run.module, run.datamodule
    found = find_checkpoint(folder, checkpoint)
    load(module, found)
    frames = datamodule if isinstance(datamodule, SegmentationDataModule) else None
    only_predicted = frames is not None and frames.only_predict(split)
    files = None
    if frames is not None and (only_predicted or run.config["report"].get("predictions")):
        files = frames.prediction_files(split)

    def counted(masks: Path | None) -> dict[str, np.ndarray]:
        trainer = build_trainer(run.config, run.machine, folder, headline=module.headline)
        if frames is not None and files is not None:
            sizes = {index: frames.sizes[frames.names[index]] for index in files}
            cast(Any, trainer).callbacks.append(FrameMasks(masks, files, sizes, frames.label_space))
        return evaluate(trainer, module, datamodule, split)

    def fill(target: Path) -> None:
        write_text(target / "config.yaml", to_yaml(run.config))
        with session(Status(target / "status.json")):
            evaluation = collect(run.config, folder, found, datamodule, split, counted(target / "predictions"))
            if only_predicted:
                write_json(target / "scores.json", scores_of(evaluation))
            else:
                _write_findings(target, run, evaluation)

    if first:
        announce.resized(datamodule, split)
        replace_folder(folder.evaluation(split), fill)
    else:
        counted(None)


def _write_findings(target: Path, run: Run, evaluation: Evaluation) -> None:
    write_tables(target, evaluation, scores_of(evaluation))
    write_figures(
        target / "figures",
        evaluation.facts["confusion"],
        evaluation.label_space.classes,
        evaluation.split,
        read_csv(run.folder.history) if run.folder.history.exists() else [],
        run.datamodule.counts(),
        run.module.headline,
        run.datamodule.unit,
    )
