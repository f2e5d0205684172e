"""The pictures of an evaluation's page, from a second pass over the samples that it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from datamodules.base import ImageDataModule
from datamodules.errors import UnreadableError
from datamodules.files.image_cache import ReadImages, ReadMasks
from datamodules.files.images import resize_mask
from datamodules.files.masks import Mask
from datamodules.loading.dataset import ImageDataset, TrainingBatches
from datamodules.segmentation import SegmentationDataModule
from entry.builders.trainer import build_trainer
from entry.run import Run
from label_spaces.space import LabelSpace
from lightning_modules.supervised import SupervisedModule
from metrics.counts import Counts
from reports.evaluation import Evaluation
from reports.html.pictures import Picture, overlay, strip, thumbnail
from reports.html.selection import reasons, sample_scores

MOST_OF_BATCH = 16


def predict_frames(
    trainer: lightning.Trainer, module: SupervisedModule, datamodule: SegmentationDataModule, indices: Sequence[int]
) -> dict[int, Mask]:
    """Predict some frames of the test split again, with a trainer of this process alone; return (H, W) uint8 by their indices."""
    images = datamodule.images(datamodule.test_split, datamodule.eval_size)

    def batch(chosen: Sequence[int]) -> dict[str, Any]:
        pixels = np.stack([images(index).transpose(2, 0, 1) for index in chosen])
        return {"image": torch.from_numpy(pixels), "index": torch.tensor(chosen)}

    loader = DataLoader(cast(Any, indices), datamodule.settings.eval_batch_size, collate_fn=batch)
    outputs = trainer.predict(module, loader) if indices else []
    return {int(i): np.asarray(mask.cpu()) for index, masks in outputs or [] for i, mask in zip(index, masks, strict=True)}  # fmt: skip


def predict_shown(run: Run, counts: Counts) -> dict[int, Mask]:
    """Predict the frames that the page shows again, if there are any; return (H, W) uint8, before a crosswalk, by their indices."""
    if not isinstance(run.datamodule, SegmentationDataModule):
        return {}
    # On this process alone: a failure then cannot leave other ranks waiting.
    machine = replace(run.machine, devices=1, nodes=1)
    trainer = build_trainer(run.settings, machine, run.folder, headline=run.module.headline)
    mapping = None if run.crosswalk is None else run.crosswalk.mapping
    chosen = frames_to_show(counts, run.datamodule.label_space, mapping, run.settings.report.gallery_iou)
    return predict_frames(trainer, run.module, run.datamodule, chosen)


def frames_to_show(counts: Counts, space: LabelSpace, mapping: Sequence[int] | None, threshold: float) -> list[int]:
    """Return the indices of the frames that the page shows; `mapping` is the crosswalk's to `space`, where there is one."""
    matrices = (counts if mapping is None else counts.remapped(mapping)).matrices
    return [int(counts.index[row]) for row in reasons(matrices, space.classes, sample_scores(matrices), threshold)]


def pictures(
    datamodule: ImageDataModule, evaluation: Evaluation, masks: Mapping[int, Mask]
) -> dict[int, list[Picture]]:
    """Return the pictures of samples, by their rows in per_sample.npz.

    `masks` are predictions in the model's own classes, by the samples' indices; of images none are needed.
    """
    counts = evaluation.counts
    if not isinstance(datamodule, SegmentationDataModule):
        assert counts.predictions is not None
        scores = sample_scores(counts.matrices, counts.loss)
        rows = reasons(counts.matrices, evaluation.label_space.classes, scores, 0.0, counts.predictions)
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


def training_batch(datamodule: ImageDataModule) -> list[tuple[Picture, str, str]]:
    """Return 16 images at most of a training's first step, augmented, each with its name and, of images, its class.

    Masks are laid over them. The files are read, and no generator of random numbers but the augmentation's own is used.
    """
    space, size, names = datamodule.label_space, datamodule.train_size, datamodule.names
    first = TrainingBatches(datamodule.training_indices(0), datamodule.settings.batch_size, datamodule.seed, epoch=0)
    images, found = ReadImages(datamodule.read, names, size), []
    if masked := isinstance(datamodule, SegmentationDataModule):
        targets: Any = ReadMasks(datamodule.read_mask, names, size)
    else:
        targets = datamodule.targets("train", size)
    plain = ImageDataset(names, targets, images, datamodule.augmentation)
    frames = plain if datamodule.mixing is None else datamodule.mixing(plain, first, space)
    for key in next(iter(first))[:MOST_OF_BATCH]:
        try:
            item = frames[key]
        except UnreadableError:
            if datamodule.settings.on_corrupt == "fail":
                raise
            continue
        image, target = item["image"].numpy().transpose(1, 2, 0), item["target"]
        picture = overlay(image, target.numpy(), space) if masked else thumbnail(image)[0]
        label = "" if masked else space.classes[target]
        if "partner" in item:
            label += f" {item['lambda']:.2f}, {space.classes[item['partner']]} {1 - item['lambda']:.2f}"
        found.append((picture, names[key.sample], label))
    return found
