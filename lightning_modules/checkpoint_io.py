"""Reading and writing the trainer's checkpoints: atomically, and as plain data."""

import io
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from lightning_modules.weights.safe_load import read_checkpoint
from run_folder import atomic


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's checkpoint plugin with atomic writing and safe reading."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a file atomically; where `storage_options` is a dict, put its content there under `path`, and write nothing."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        if storage_options is not None:
            storage_options[path] = content.getbuffer()
            return
        with atomic(Path(path)) as file:
            file.write(content.getbuffer())

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Read plain data. Raises WeightsError if code would have to be run."""
        return cast(dict[str, Any], read_checkpoint(Path(path), str(path)))
