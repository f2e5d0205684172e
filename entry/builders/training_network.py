"""How a network is trained: with less memory, compiled, or in part."""

from functools import partial

from torch import nn

from callbacks.frozen_encoder import FrozenEncoder
from lightning_modules.errors import NetworkError
from lightning_modules.networks.checkpointing import with_checkpoints
from lightning_modules.networks.compiled import compiled
from lightning_modules.parameter_groups import encoder_modules
from settings.run import RunSettings

FREEZE = "model.freeze_epochs"


def prepare_training(network: nn.Module, settings: RunSettings) -> None:
    """Apply `trainer.gradient_checkpointing` and `trainer.compile` in place, and check `model.freeze_epochs`.

    Raises NetworkError where one of them cannot be had.
    """
    trainer = settings.trainer
    if settings.model.freeze_epochs:
        encoder_modules(network, FREEZE)
    if trainer.gradient_checkpointing and trainer.compile:
        raise NetworkError(
            "trainer.gradient_checkpointing=true: torch.compile decides by itself what is kept for the backward pass. Leave one of them out."
        )
    if trainer.gradient_checkpointing and not with_checkpoints(network):
        raise NetworkError(
            f"trainer.gradient_checkpointing=true: {type(network).__name__} has no blocks of several layers, of which the inner "
            "activations could be left out. Leave it out, or lower data.batch_size."
        )
    if trainer.compile:
        compiled(network)


def frozen_encoder(epochs: int) -> FrozenEncoder:
    """Return the callback that leaves a network's encoder as it is in the first epochs."""
    return FrozenEncoder(epochs, partial(encoder_modules, key=FREEZE))
