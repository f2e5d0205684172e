"""best.ckpt and last.ckpt: chosen by a validation score, and whole at every moment."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from run_folder import atomic


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary name and renames it: a reader sees the old one or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Serialise first, so that an object that cannot be serialised leaves no file."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic(Path(path)) as file:
            file.write(content.getbuffer())


def best_and_last(folder: Path, monitor: str) -> list[ModelCheckpoint]:
    """Keep the checkpoint with the highest `monitor`, and the last one, at the end of each epoch.

    Two callbacks, because Lightning's own `save_last` writes only where the best one is written too.
    """
    common: dict[str, Any] = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    return [
        ModelCheckpoint(filename="best", monitor=monitor, mode="max", **common),
        ModelCheckpoint(filename="last", **common),
    ]
