"""Predicting a video: read, predicted and written at the same time, so that memory does not grow with its length."""

import contextlib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datamodules.errors import DatasetError
from datamodules.files.images import resize_mask
from datamodules.files.videos import Video
from datamodules.loading.unlabelled_images import Pictures, collate
from entry.model import TrainedModel
from entry.progress import Batch, ahead, side_by_side, tracked
from reports.mask_images import save_mask
from reports.overlay_video import overlay_video
from reports.picture_masks import shares

MOST_BYTES = 2**26  # of the frames of a batch at their own size
# Of a batch that a CPU computes: larger tensors than those of some 300,000 pixels get fresh pages from the system, layer for layer.
CPU_PIXELS = 300_000
Row = tuple[int, float, Any]  # number, seconds, and probabilities or shares of the classes


def predict_video(model: TrainedModel, path: Path, target: Path, name: str, *, masks: bool) -> tuple[list[Row], str]:
    """Predict all frames of a video that can be read; return a row for each, and what could not be read, empty for nothing.

    Segmentation writes ``overlays/<name>.mp4`` into the folder `target`, and with `masks` ``masks/<name>/<frame>.png``.
    """
    try:
        video = Video(path)
    except DatasetError as error:
        return [], str(error)
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        write = None
        for batch in tracked(_predicted(model, video), video.count, path.name, model.settings.trainer.progress):
            for frame, found in zip(batch["frames"], batch["found"], strict=True):
                seconds = round(float(frame.time * video.time_base), 6)
                if model.task == "classification":
                    rows.append((frame.number, seconds, found))
                    continue
                size = (frame.image.shape[0], frame.image.shape[1])
                mask = resize_mask(found, size)
                if write is None:
                    overlay = target / "overlays" / f"{name}.mp4"
                    write = stack.enter_context(
                        overlay_video(overlay, size, video.rate, video.time_base, model.label_space)
                    )
                write(frame.image, mask, frame.time)
                if masks:
                    save_mask(target / "masks" / name / f"{frame.number:06}.png", mask, model.label_space)
                rows.append((frame.number, seconds, shares(mask, len(model.classes))))
    return rows, video.defect


def _predicted(model: TrainedModel, video: Video) -> Iterator[Batch]:
    """Yield batches of frames with what was ``found`` in each: probabilities (C,), or the mask at the model's size."""

    def found(batch: Batch) -> Batch:
        names = [f"{video.path}, frame {frame.number}," for frame in batch["frames"]]
        if model.task == "segmentation":
            return {**batch, "found": model.segment(batch["image"], names)[0]}
        return {**batch, "found": model.classify(batch["image"], names)}

    with model.one_thread_a_batch() as threads:
        yield from side_by_side(found, ahead(_batches(model, video)), threads)


def _batches(model: TrainedModel, video: Video) -> Iterator[Batch]:
    """Yield batches of frames as `picture_loader` yields those of images."""
    step = min(model.settings.data.eval_batch_size, MOST_BYTES // max(1, video.frame_bytes))
    if model.on_cpu:
        step = min(step, CPU_PIXELS // math.prod(model.size))
    step = max(1, step)
    frames = video.frames()
    while some := list(itertools.islice(frames, step)):
        pictures = Pictures([frame.image for frame in some], model.size)
        yield {**collate([pictures[i] for i in range(len(some))]), "frames": some}
