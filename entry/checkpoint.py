"""A checkpoint of a run: found, read once, and loaded into a module."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from entry.errors import RequestError
from label_spaces.space import LabelSpace
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights.safe_load import damage, read_checkpoint
from run_folder import RunFolder


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

    Raises RunFolderError, RequestError or WeightsError where there is none, it is damaged, or train.py did not write it.
    """
    path = folder.checkpoint(wanted)
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
        reason = str(error).splitlines()[-1].strip()
        raise RequestError(f"{checkpoint.path} does not fit the run's model: {reason}") from None
