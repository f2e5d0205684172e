"""What loggers show of the evaluation that ends a training, from its files: scores, figures, classes and some frames."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from numpy.typing import NDArray
from PIL import Image

from datamodules.files.images import resize_mask
from datamodules.files.masks import Mask
from entry.run import Run
from label_spaces.space import VOID, LabelSpace
from metrics.per_image import image_mious
from metrics.scores import SCORES
from reports.html.files import EvaluationFiles, read_files
from reports.html.selection import by_score
from reports.overlays import overlay
from streams import printable

log = logging.getLogger(__name__)
OF_EACH = 2  # frames: the worst, median and best
WIDEST = 640  # pixels of a frame


class Frame(NamedTuple):
    """A frame (H, W, 3) with the class indices (H, W) of its truth and its prediction."""

    kind: str
    caption: str
    image: NDArray[np.uint8]
    truth: Mask
    prediction: Mask


def log_evaluation(loggers: Sequence[Logger], run: Run, shown: Mapping[int, Mask]) -> None:
    """Record the evaluation that `run` has had, with the frames whose predictions (h, w) are shown, by their indices.

    Where a logger fails, a warning is logged: the folder of the evaluation is complete.
    """
    split = run.datamodule.test_split
    prefix = f"evaluation/{split}"  # val/miou is that of the epochs
    for logger in loggers:
        try:
            files = read_files(run.folder.evaluation(split), run.folder)
            frames = _frames(run, files, shown)
            scores = {f"{prefix}/{name}": files.scores[name] for name in SCORES if files.scores.get(name) is not None}
            step = files.scores["checkpoint"]["step"]
            logger.log_metrics(scores, step if isinstance(logger, TensorBoardLogger) else None)
            if isinstance(logger, WandbLogger):
                _to_wandb(logger, prefix, files, frames, run.datamodule.label_space)
            elif isinstance(logger, TensorBoardLogger):
                _to_tensorboard(logger, prefix, files, frames, run.datamodule.label_space)
        except Exception as error:  # noqa: BLE001  whatever it is, the files are written
            log.warning("%s does not show the evaluation, its folder has everything: %s", type(logger).__name__, error)


def _to_wandb(
    logger: WandbLogger, prefix: str, files: EvaluationFiles, frames: Sequence[Frame], space: LabelSpace
) -> None:
    classes = files.scores["classes"]
    logger.log_table(f"{prefix}/classes", [*classes[0]], [[*each.values()] for each in classes])
    for figure in sorted((files.folder / "figures").glob("*.png")):
        logger.log_image(f"{prefix}/{figure.stem}", [str(figure)])
    labels = dict(enumerate((*space.classes, VOID)))
    masks = [
        {
            kind: {"mask_data": mask, "class_labels": labels}
            for kind, mask in (("predictions", frame.prediction), ("ground_truth", frame.truth))
        }
        for frame in frames
    ]
    if frames:
        captions = [f"{frame.kind}: {frame.caption}" for frame in frames]
        logger.log_image(f"{prefix}/frames", [frame.image for frame in frames], caption=captions, masks=masks)


def _to_tensorboard(
    logger: TensorBoardLogger, prefix: str, files: EvaluationFiles, frames: Sequence[Frame], space: LabelSpace
) -> None:
    writer, step, classes = logger.experiment, files.scores["checkpoint"]["step"], files.scores["classes"]
    rows = [[*classes[0]], ["---"] * len(classes[0]), *([_cell(value) for value in each.values()] for each in classes)]
    writer.add_text(f"{prefix}/classes", "\n".join(f"| {' | '.join(row)} |" for row in rows), step)
    figures = sorted((files.folder / "figures").glob("*.png"))
    pictures: dict[str, Image.Image] = {f"{prefix}/{path.stem}": Image.open(path) for path in figures}
    for frame in frames:
        for kind, mask in (("prediction", frame.prediction), ("truth", frame.truth)):
            pictures[f"{prefix}/frames/{frame.kind}_{kind}"] = overlay(frame.image, mask, space)
    for name, picture in pictures.items():
        writer.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else printable(str(value)).replace("|", "\\|")


def _frames(run: Run, files: EvaluationFiles, shown: Mapping[int, Mask]) -> list[Frame]:
    """The worst, median and best frames of those that are shown."""
    if not shown:
        return []
    data: Any = run.datamodule  # of segmentation
    mious = image_mious(files.matrices)
    found: list[Frame] = []
    for row, place in by_score(mious).items():
        name = str(files.samples["sample"][row])
        number = sum(frame.kind.startswith(place) for frame in found) + 1
        if number > OF_EACH or (index := data.names.index(name)) not in shown:
            continue
        image = data.read(name)
        height, width = image.shape[:2]
        size = round(height * min(1.0, WIDEST / width)), min(width, WIDEST)
        small = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
        masks = (resize_mask(mask, size) for mask in (data.read_mask(name), shown[index]))
        found.append(Frame(f"{place}_{number}", f"{printable(name)}, mIoU {mious[row]:.3f}", small, *masks))
    return found
