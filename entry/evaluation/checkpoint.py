"""One evaluation: a checkpoint, a split, the one matrix, and the folder of files that follows from it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from datamodules.base import ImageDataModule
from datamodules.segmentation import SegmentationDataModule
from entry.errors import RequestError
from entry.evaluation.baselines import baseline_data, pixel_baselines
from label_spaces.crosswalk import Crosswalk
from label_spaces.space import LabelSpace
from lightning_modules.classification import ClassificationModule
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights.safe_load import damage, read_checkpoint
from metrics.counts import Counts
from reports.evaluation import Evaluation
from run_folder import RunFolder
from settings.evaluation import EvaluationSettings
from settings.run import RunSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A trained state on disk; `epoch` counts from 0, `step` the optimiser steps taken."""

    path: Path
    epoch: int
    step: int
    state: Mapping[str, torch.Tensor]
    label_space: LabelSpace

    @property
    def origin(self) -> dict[str, Any]:
        """File, epoch and step, for scores.json."""
        return {"file": self.path.name, "epoch": self.epoch, "step": self.step}


def find_checkpoint(folder: RunFolder, wanted: str, *, verified: bool = False) -> Checkpoint:
    """Read ``best``, ``last`` or a path, and check its checksums unless it is `verified` already.

    Raises RequestError or WeightsError where there is none, it is damaged, or train.py did not write it.
    """
    path = folder.checkpoints / f"{wanted}.ckpt" if wanted in ("best", "last") else Path(wanted)
    if not path.is_file():
        raise RequestError(f"checkpoint={wanted}: there is no {path}. Type checkpoint=best, last or a path.")
    content = read_checkpoint(path, f"checkpoint={path}", in_file=True)  # the optimiser's state is not used
    keys = {"state_dict", "epoch", "global_step", "hyper_parameters"}
    if not isinstance(content, Mapping) or not keys <= content.keys():
        raise RequestError(
            f"checkpoint={wanted}: {path} was not written by train.py. Start from such weights with model.weights={path}."
        )
    space = content["hyper_parameters"]
    if space.keys() != {"label_space", "classes"}:  # such as _instantiator, which names code to run
        raise RequestError(f"checkpoint={wanted}: {path} holds hyper-parameters that train.py does not write.")
    reason = None if verified else damage(path)
    if reason is not None:
        raise RequestError(
            f"checkpoint={wanted}: {path} is damaged ({reason}). Take another: checkpoint=best, last or a path."
        )
    labels = LabelSpace(space["label_space"], tuple(space["classes"]))
    return Checkpoint(path, int(content["epoch"]), int(content["global_step"]), content["state_dict"], labels)


def load(module: SupervisedModule, checkpoint: Checkpoint) -> None:
    """Give the module the checkpoint's weights. Raises RequestError where classes or shapes do not fit."""
    if checkpoint.label_space.classes != module.label_space.classes:
        raise RequestError(
            f"{checkpoint.path} was trained on the classes {', '.join(checkpoint.label_space.classes)}, "
            f"but the data has {', '.join(module.label_space.classes)}. Give the data it was trained for."
        )
    try:
        module.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        raise RequestError(
            f"{checkpoint.path} does not fit the run's model: {str(error).splitlines()[-1].strip()}"
        ) from None


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
        log.warning("Only %d of %d samples of %s were evaluated (trainer.limit_batches).", seen, n_expected, split)
    task = settings.model.task
    known: dict[str, Any] = {}
    size = datamodule.scored_at(split) if isinstance(datamodule, SegmentationDataModule) else datamodule.eval_size
    if task == "classification":
        known["fitted_target"], known["features"] = baseline_data(datamodule, split, counts.index.tolist())
    elif isinstance(datamodule, SegmentationDataModule) and datamodule.indices("train") and counts.weight.any():
        known["pixel_baselines"] = pixel_baselines(datamodule, split, counts.index.tolist())
    samples = [table.samples[i] for i in counts.index.tolist()]
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
