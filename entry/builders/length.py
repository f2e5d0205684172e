"""The length of a training that is given in optimiser steps."""

import math

from datamodules.base import ImageDataModule
from entry.builders.modules import total_steps
from entry.errors import RequestError
from settings.run import RunSettings


def steps_of_epoch(settings: RunSettings, datamodule: ImageDataModule) -> int:
    """Optimiser steps of a full epoch, or those that `trainer.limit_batches` leaves of it."""
    one = settings.trainer.model_copy(update={"max_epochs": 1, "max_steps": None})
    return total_steps(settings.model_copy(update={"trainer": one}), datamodule)


def in_epochs(settings: RunSettings, datamodule: ImageDataModule) -> RunSettings:
    """Return settings with the `trainer.max_epochs` that `trainer.max_steps` needs, and let the last epoch end at that step.

    So the last epoch is one like the others: it is validated, and its checkpoint written.
    """
    trainer, steps = settings.trainer, steps_of_epoch(settings, datamodule)
    assert trainer.max_steps is not None
    epochs = math.ceil(trainer.max_steps / steps)
    datamodule.last_epoch = (epochs - 1, trainer.max_steps - (epochs - 1) * steps)
    return settings.model_copy(update={"trainer": trainer.model_copy(update={"max_epochs": epochs})})


def check_prolonged(step: int, settings: RunSettings, datamodule: ImageDataModule) -> None:
    """Raise RequestError for more steps than the `step` that a run has ended with, where its last epoch was a shorter one."""
    if step % steps_of_epoch(settings, datamodule):
        raise RequestError(
            f"trainer.max_steps={settings.trainer.max_steps}: the run has ended, in the middle of an epoch whose other samples it would "
            f"leave out. Train another run, or leave trainer.max_steps={step}; multiples of {steps_of_epoch(settings, datamodule)}, the "
            "steps of an epoch, can be prolonged."
        )
