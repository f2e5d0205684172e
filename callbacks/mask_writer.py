"""Predicted masks go to disk batch by batch: memory does not grow with the number of pictures."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
from lightning.pytorch.callbacks import BasePredictionWriter

from datamodules.images import read_image
from label_spaces.space import LabelSpace
from reports.masks import save_mask, save_overlay


class MaskWriter(BasePredictionWriter):
    """Writes ``masks/<name>.png`` (class indices, with a palette) and ``overlays/<name>.png`` at each picture's own size.

    Args:
        folder: where both go.
        paths: the pictures, in the loader's order.
        space: the classes.

    Attributes:
        rows: by picture the share of each class, in 0–1.
        unreadable: by picture why it could not be read.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], space: LabelSpace) -> None:
        super().__init__("batch")
        self.folder, self.paths, self.space = folder, paths, space
        base = Path(os.path.commonpath([path.parent for path in paths]))
        self._names = [path.relative_to(base).with_suffix("").as_posix() for path in paths]
        self.rows: dict[int, dict[str, Any]] = {}
        self.unreadable: dict[Path, str] = {}

    def write_on_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        prediction: Any,
        batch_indices: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the masks of a batch."""
        index, masks, unreadable = prediction
        self.unreadable |= {self.paths[i]: reason for i, reason in unreadable.items()}
        for i, mask in zip(index.tolist(), masks.cpu().numpy(), strict=True):
            image = read_image(self.paths[i])
            # The nearest pixel, measured from its middle: classes cannot be averaged.
            size = (image.shape[1], image.shape[0])
            full = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
            save_mask(self.folder / "masks" / f"{self._names[i]}.png", full, self.space)
            save_overlay(self.folder / "overlays" / f"{self._names[i]}.png", image, full, self.space)
            shares = np.bincount(full.ravel(), minlength=self.space.num_classes) / full.size
            named = zip(self.space.classes, shares.tolist(), strict=False)
            self.rows[i] = {"file": str(self.paths[i]), **dict(named)}
