"""The page of an evaluation, with its pictures; a failure here does not cost the scores."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
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
    with optional(folder.evaluation(evaluation.split), "report.html", "report.html=false leaves it out."):
        if report.images:
            batch = () if evaluation.checkpoint["epoch"] is None else training_batch(datamodule)
            gallery = Gallery(pictures(datamodule, evaluation, masks()), names, report.gallery_iou, batch)
        write_report(target, folder, score, gallery)


@contextlib.contextmanager
def optional(folder: Path, what: str, advice: str) -> Iterator[None]:
    """Raise IncompleteError where `what`, without which the evaluation in `folder` is complete, cannot be written."""
    try:
        yield
    except Exception as error:
        print_failure(error)
        raise IncompleteError(
            f"{folder}: the scores are complete, but {what} could not be written ({type(error).__name__}: {error}). {advice}"
        ) from error
