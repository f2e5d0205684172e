"""The pictures of an evaluation's page, from a second pass over the samples that it shows."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from datamodules.base import ImageDataModule
from datamodules.files.images import resize_mask
from datamodules.files.masks import Mask
from datamodules.segmentation import SegmentationDataModule
from lightning_modules.supervised import SupervisedModule
from metrics.counts import Counts
from reports.evaluation import Evaluation
from reports.html.pictures import Picture, strip, thumbnail
from reports.html.selection import shown_frames, shown_images


def predict_frames(
    trainer: lightning.Trainer, module: SupervisedModule, datamodule: SegmentationDataModule, indices: Sequence[int]
) -> dict[int, Mask]:
    """Predict some frames of the test split again, with a trainer of this process alone; return (H, W) uint8 by their indices."""
    images = datamodule.images(datamodule.test_split, datamodule.eval_size)
    batches = [
        {"image": torch.from_numpy(images(index).transpose(2, 0, 1).copy())[None], "index": torch.tensor([index]), "unreadable": {}}
        for index in indices
    ]  # fmt: skip
    outputs = trainer.predict(module, DataLoader(cast(Any, batches), batch_size=None)) if batches else []
    return {int(index): np.asarray(mask[0].cpu()) for index, mask, *_ in outputs or []}


def frames_to_show(counts: Counts, mapping: Sequence[int] | None, threshold: float) -> list[int]:
    """Return the indices of the frames that the page shows; `mapping` is the crosswalk's, where there is one."""
    known = counts if mapping is None else counts.remapped(mapping)
    return [int(counts.index[row]) for row in shown_frames(known.matrices, threshold)]


def pictures(
    datamodule: ImageDataModule, evaluation: Evaluation, masks: Mapping[int, Mask]
) -> dict[int, list[Picture]]:
    """Return the pictures of samples, by their rows in per_sample.npz.

    `masks` are predictions in the model's own classes, by the samples' indices; of images none are needed.
    """
    counts = evaluation.counts
    if not isinstance(datamodule, SegmentationDataModule):
        assert counts.predictions is not None
        rows = shown_images(counts.matrices, *counts.predictions, counts.loss)
        return {row: thumbnail(datamodule.read(evaluation.names[row])) for row in rows}
    found = {}
    for row, index in enumerate(counts.index.tolist()):
        if index in masks:
            name, mask = evaluation.names[row], masks[index]
            if evaluation.crosswalk is not None:
                table = np.full(256, datamodule.label_space.void, np.uint8)
                table[: len(evaluation.crosswalk.mapping)] = evaluation.crosswalk.mapping
                mask = table[mask]
            truth = resize_mask(datamodule.read_mask(name), mask.shape)
            found[row] = strip(datamodule.read(name), truth, mask, datamodule.label_space)
    return found
