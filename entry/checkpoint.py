"""A checkpoint of a run, or the file of an export: found, read once, and loaded into a module."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from entry.errors import RequestError
from entry.exported import check_whole, read_manifest, weights_file
from label_spaces.space import LabelSpace
from lightning_modules.networks.graphs import Graph
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights.safe_load import damage, read_checkpoint, read_state_dicts
from run_folder import RunFolder


@dataclass(frozen=True)
class Checkpoint:
    """A trained state on disk; `epoch` counts from 0, `step` the optimiser steps taken."""

    path: Path
    epoch: int
    step: int
    state: Mapping[str, torch.Tensor]
    label_space: LabelSpace
    graph: Graph | None = None  # an export's, in place of a state: images of 0–255 to logits, its normalisation inside

    @property
    def origin(self) -> dict[str, Any]:
        """File, epoch and step, for scores.json."""
        return {"file": self.path.name, "epoch": self.epoch, "step": self.step}


def find_checkpoint(folder: RunFolder, wanted: str, *, verified: bool = False) -> Checkpoint:
    """Read ``best``, ``last`` or a path, and check its checksums unless it is `verified` already.

    Raises RunFolderError, RequestError or WeightsError where there is none, it is damaged, or train.py did not write it.
    """
    path = weights_file(folder, wanted)
    if folder.is_export:
        return _exported(folder, path)
    content = read_checkpoint(path, f"checkpoint={path}", in_file=True)  # the optimiser's state is not used
    keys = {"state_dict", "epoch", "global_step", "hyper_parameters"}
    if not isinstance(content, Mapping) or not keys <= content.keys():
        raise RequestError(
            f"checkpoint={wanted}: {path} was not written by train.py. Start from such weights with model.weights={path}."
        )
    space, state = content["hyper_parameters"], content["state_dict"]
    # Lightning's own would be such as _instantiator, which names code to run.
    if not isinstance(space, Mapping) or space.keys() != {"label_space", "classes"}:
        raise RequestError(f"checkpoint={wanted}: {path} holds hyper-parameters that train.py does not write.")
    reason = None if verified else damage(path)
    if reason is not None:
        raise RequestError(
            f"checkpoint={wanted}: {path} is damaged ({reason}). Take another: checkpoint=best, last or a path."
        )
    name, classes, position = space["label_space"], space["classes"], (content["epoch"], content["global_step"])
    tensors = isinstance(state, Mapping) and all(isinstance(each, torch.Tensor) for each in state.values())
    texts = [name, *classes, *state] if tensors and isinstance(classes, list | tuple) else [None]
    if not all(isinstance(each, str) for each in texts) or not all(isinstance(each, int) for each in position):
        raise RequestError(f"checkpoint={wanted}: {path} holds values of other types than train.py writes.")
    if len({*classes}) < len(classes):
        raise RequestError(f"checkpoint={wanted}: {path} names a class twice, as train.py never does.")
    return Checkpoint(path, *position, state, LabelSpace(name, tuple(classes)))


def _exported(folder: RunFolder, path: Path) -> Checkpoint:
    """The weights or the graph of an export, with the facts of its manifest."""
    manifest = read_manifest(folder)
    check_whole(path, manifest)
    state: Mapping[str, torch.Tensor] = {}
    graph: Graph | None = None
    if manifest.format == "safetensors":
        state = {f"network.{name}": each for name, each in next(iter(read_state_dicts(path).values())).items()}
    else:
        from lightning_modules.networks.graphs import open_graph

        graph = open_graph(path, len(manifest.classes), manifest.output)
    origin, labels = manifest.checkpoint, LabelSpace(manifest.label_space, tuple(manifest.classes))
    return Checkpoint(path, origin.epoch, origin.step, state, labels, graph)


def check_classes(checkpoint: Checkpoint, classes: tuple[str, ...]) -> None:
    """Raise RequestError where a checkpoint was trained on other classes than the data has, or in another order."""
    if checkpoint.label_space.classes != classes:
        raise RequestError(
            f"{checkpoint.path} was trained on the classes {', '.join(checkpoint.label_space.classes)}, "
            f"but the data has {', '.join(classes)}. Give the data it was trained for."
        )


def load(module: SupervisedModule, checkpoint: Checkpoint) -> None:
    """Give the module the checkpoint's weights, or graph. Raises RequestError where classes or shapes do not fit."""
    check_classes(checkpoint, module.label_space.classes)
    if checkpoint.graph is not None:
        use_graph(module, checkpoint.graph)
        return
    try:
        module.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise RequestError(f"{checkpoint.path} does not fit the run's model: {reason}") from None


def use_graph(module: SupervisedModule, graph: Graph) -> None:
    """Let a graph predict in place of the module's network; one that is `raw` gets the images as they are, 0–255.

    Raises RequestError for test-time augmentation where it predicts class indices, which cannot be averaged.
    """
    views = module.test_time_augmentation
    if graph.output == "ids":
        if views.flip or views.window is not None or tuple(views.scales) != (1.0,):
            raise RequestError(
                "evaluation: a graph that predicts class indices has no probabilities to average. "
                "Type evaluation.flip=false 'evaluation.scales=[1.0]' evaluation.window=null evaluation.stride=null"
            )
        if isinstance(module, SegmentationModule):
            module.truth = replace(module.truth)  # an equal one: no loss can be computed without probabilities
    module.network, module.memory_format = graph, torch.contiguous_format
    if graph.raw:
        cast(torch.Tensor, module.mean).zero_()
        cast(torch.Tensor, module.inverse_deviation).fill_(1)
