"""What was computed when the memory was used up, and what to lower: a note that is added to the error."""

from dataclasses import dataclass
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from settings.training import TrainerSettings

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # in messages of torch's, of GPUs and of the CPU


def lacks_memory(error: BaseException) -> bool:
    """Whether the memory of a device, or of the machine, was used up."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(each in words for each in OUT_OF_MEMORY)
    )


@dataclass(eq=False)
class OutOfMemory(Callback):
    """Adds to such an error the size of the batch and of its images, and the keys to type; nothing to other errors."""

    settings: TrainerSettings

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Add the note."""
        data: Any = getattr(trainer, "datamodule", None)
        if data is None or not lacks_memory(exception):
            return
        if trainer.training:
            note = self._of_training(trainer.world_size, data.settings.batch_size, data.settings.image_size)
        else:
            note = of_evaluation(data.settings.eval_batch_size, data.eval_size)
        exception.add_note(f"{owner(pl_module.device)} is used up by {note}")

    def _of_training(self, ranks: int, batch_size: int, size: tuple[int, int]) -> str:
        parts = ranks * self.settings.accumulate
        smaller = range(self.settings.accumulate + 1, batch_size // ranks // 2 + 1)  # BatchNorm needs two samples
        accumulate = next((each for each in smaller if batch_size % (ranks * each) == 0), None)
        remedies = [
            f"trainer.accumulate={accumulate} (the same step in smaller parts)" if accumulate else "",
            f"data.batch_size={parts * max(1, batch_size // parts // 2)}" if batch_size > parts else "",
            "a smaller data.image_size",
            "" if self.settings.gradient_checkpointing else "trainer.gradient_checkpointing=true",
            "trainer.precision=bf16-mixed" if self.settings.precision.startswith(("32", "64")) else "",
        ]
        among = f"data.batch_size={batch_size}" + (f" in {parts} parts" if parts > 1 else "")
        return f"a training step of {_images(batch_size // parts, size)} ({among}). Type {_either(remedies)}."


def of_evaluation(count: int, size: tuple[int, int]) -> str:
    """Return what a batch of `count` images of (height, width) `size` is evaluated or predicted with, and what to type instead."""
    remedies = [
        f"data.eval_batch_size={count // 2}" if count > 1 else "",
        "a smaller data.eval_size (with other scores)",
    ]
    return f"evaluating {_images(count, size)} at a time (data.eval_batch_size). Type {_either(remedies)}."


def owner(device: torch.device) -> str:
    """Return whose memory it is."""
    return "The memory of this machine" if device.type == "cpu" else "The GPU's memory"


def _images(count: int, size: tuple[int, int]) -> str:
    return f"{count} image{'s' if count > 1 else ''} of {size[1]}×{size[0]} pixels"


def _either(remedies: list[str]) -> str:
    *most, last = filter(None, remedies)
    return f"{', '.join(most)} or {last}" if most else last
