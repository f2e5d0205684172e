"""Stop an evaluation at logits that are nan or infinite, which would be scored as a class."""

from collections.abc import Sequence
from typing import Any

from lightning import LightningModule, Trainer
from torch import nn

from callbacks.finite_checks import FiniteCheck


class FiniteLogits(FiniteCheck):
    """Stops an evaluation at logits that are nan or infinite; `names` are those of the samples, by index."""

    on_test_epoch_end = FiniteCheck.check  # before anything is scored or written

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Collect which samples of this batch are finite."""
        self.collect(outputs["index"], outputs["finite"], trainer, pl_module)

    def message(self, key: int, value: float, trainer: Trainer, pl_module: LightningModule) -> str:
        """Return the error message for the sample with index `key`."""
        return not_finite(self.names[key], pl_module, trainer.precision)


def not_finite(name: str, module: nn.Module, precision: str) -> str:
    """Return the error message for a sample whose logits are not finite, with the probable cause and what to do."""
    state = {name.removeprefix("network."): each for name, each in module.state_dict().items()}
    broken = [name for name, each in state.items() if each.is_floating_point() and not bool(each.isfinite().all())]
    if broken:
        cause = f"{len(broken)} of {len(state)} tensors of its weights are not finite, such as {broken[0]}: use other weights."
    elif precision in ("32-true", "64-true"):
        cause = "Its weights are finite: check that image, and the values that model.mean and model.std give it."
    else:
        cause = f"Its weights are finite, but values in between overflow in trainer.precision={precision}: type trainer.precision=32-true."
    return f"The logits of {name} are not finite, so that no class can be predicted. {cause}"
