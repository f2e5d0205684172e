"""The page of an evaluation, with its pictures; a failure here does not cost the scores."""

from collections.abc import Callable, Mapping
from pathlib import Path

from datamodules.base import ImageDataModule
from datamodules.files.masks import Mask
from entry.errors import IncompleteError, print_failure
from entry.evaluation.pictures import pictures, training_batch
from reports.evaluation import Evaluation
from reports.html.evaluation import Gallery, write_report
from reports.html.pictures import legend
from run_folder import RunFolder
from settings.run import RunSettings


def write_page(
    target: Path,
    folder: RunFolder,
    settings: RunSettings,
    datamodule: ImageDataModule,
    evaluation: Evaluation,
    score: str,
    masks: Callable[[], Mapping[int, Mask]],
) -> None:
    """Write report.html into `target`, which becomes the evaluation's folder, with learning curves of `score`.

    `masks` returns the predicted masks that are shown, by sample index; it is called where pictures are wanted. Raises
    IncompleteError where the page cannot be written.
    """
    report = settings.report
    names = legend(datamodule.label_space) if settings.model.task == "segmentation" else ()
    gallery = Gallery(legend=names, threshold=report.gallery_iou)
    try:
        if report.images:
            batch = () if evaluation.checkpoint["epoch"] is None else training_batch(datamodule)
            gallery = Gallery(pictures(datamodule, evaluation, masks()), names, report.gallery_iou, batch)
        write_report(target, folder, score, gallery)
    except Exception as error:
        print_failure(error)
        raise IncompleteError(
            f"{folder.evaluation(evaluation.split)}: the scores are complete, but report.html could not be written "
            f"({type(error).__name__}: {error}). report.html=false leaves it out."
        ) from error
