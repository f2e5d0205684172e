"""Reading and writing the trainer's checkpoints: atomically, and as plain data."""

import io
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from lightning_modules.errors import TrainingError
from lightning_modules.weights.safe_load import read_checkpoint
from run_folder import atomic


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's checkpoint plugin with atomic writing and safe reading."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a file atomically. Raises TrainingError for a full disk."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with atomic(Path(path)) as file:
                file.write(content.getbuffer())
        except OSError as error:
            raise TrainingError(
                f"{path} cannot be written: {error.strerror}. Make room, and go on from the checkpoint before: "
                "python train.py resume=RUN_FOLDER"
            ) from error

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Read plain data. Raises WeightsError if code would have to be run."""
        return cast(dict[str, Any], read_checkpoint(Path(path), str(path)))
