"""Predicted masks go to disk batch by batch: memory does not grow with the number of pictures."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from datamodules.files.images import read_image, resize_mask
from datamodules.files.masks import Mask
from label_spaces.space import LabelSpace
from reports.mask_images import save_colours, save_ids, save_mask, save_overlay


class MaskWriter(Callback, ABC):
    """Saves each predicted mask on the rank that predicted it."""

    @abstractmethod
    def save(self, index: int, mask: Mask) -> None:
        """Write the mask (H, W) of a sample, class indices at the size at which they were predicted."""

    def write(self, index: Tensor, masks: Tensor) -> None:
        """Save the masks (B, H, W) of the samples (B,) of a batch."""
        for i, mask in zip(index.tolist(), masks.to(torch.uint8).cpu().numpy(), strict=True):
            self.save(i, mask)


class FrameMasks(MaskWriter):
    """Writes ``ids/<file>`` and ``colours/<file>`` at each frame's own size.

    Args:
        folder: where both go; None: where the first rank puts them.
        files: by sample index the path of its mask below either.
        sizes: by sample index its own (height, width).
        space: the classes.
        mapping: the class, or void, that each predicted index counts as, where the model speaks another label space.
    """

    def __init__(
        self,
        folder: Path | None,
        files: Mapping[int, str],
        sizes: Mapping[int, tuple[int, int]],
        space: LabelSpace,
        mapping: Sequence[int] | None = None,
    ) -> None:
        self.folder, self.files, self.sizes, self.space = folder, files, sizes, space
        self.table = None if mapping is None else np.array(mapping, dtype=np.uint8)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Learn the first rank's folder, whose name the others cannot know."""
        self.folder = trainer.strategy.broadcast(self.folder)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any) -> None:
        """Write the masks of a batch."""
        self.write(outputs["index"], outputs["prediction"])

    def save(self, index: int, mask: Mask) -> None:
        """Write the mask (H, W) of a frame twice: as the ids of its label space's files, and as colours."""
        assert self.folder is not None, "the first rank has a folder"
        full = resize_mask(mask if self.table is None else self.table[mask], self.sizes[index])
        save_ids(self.folder / "ids" / self.files[index], full, self.space)
        save_colours(self.folder / "colours" / self.files[index], full, self.space)


class PictureMasks(MaskWriter):
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
        self.folder, self.paths, self.space = folder, paths, space
        base = Path(os.path.commonpath([path.parent for path in paths]))
        self._names = [path.relative_to(base).with_suffix("").as_posix() for path in paths]
        self.rows: dict[int, dict[str, Any]] = {}
        self.unreadable: dict[Path, str] = {}

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        """Write the masks of a batch, and remember what could not be read."""
        index, masks, _, unreadable = outputs
        self.unreadable |= {self.paths[i]: reason for i, reason in unreadable.items()}
        self.write(index, masks)

    def save(self, index: int, mask: Mask) -> None:
        """Write the mask (H, W) of a picture, and the picture under its colours."""
        image = read_image(self.paths[index])
        full = resize_mask(mask, (image.shape[0], image.shape[1]))
        save_mask(self.folder / "masks" / f"{self._names[index]}.png", full, self.space)
        save_overlay(self.folder / "overlays" / f"{self._names[index]}.png", image, full, self.space)
        shares = np.bincount(full.ravel(), minlength=self.space.num_classes) / full.size
        named = zip(self.space.classes, shares.tolist(), strict=False)
        self.rows[index] = {"file": str(self.paths[index]), **dict(named)}
