"""Writing predicted masks batch by batch, so that memory does not grow with the number of images."""

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
    """Writes each predicted mask on the rank that predicted it."""

    @abstractmethod
    def save(self, index: int, mask: Mask) -> None:
        """Write the mask (H, W) of a sample: class indices at the size of the prediction."""

    def write(self, index: Tensor, masks: Tensor) -> None:
        """Write the masks (B, H, W) of a batch with the sample indices (B,)."""
        for i, mask in zip(index.tolist(), masks.to(torch.uint8).cpu().numpy(), strict=True):
            self.save(i, mask)


class FrameMasks(MaskWriter):
    """Writes ``ids/<file>`` and ``colours/<file>`` at each frame's own size.

    `folder` is None on ranks other than the first, which take the first one's; `files` are relative paths and `sizes`
    (height, width), by sample index. `mapping` has the class, or void, of each predicted index, if the model predicts
    another label space.
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
        """Receive the first rank's folder."""
        self.folder = trainer.strategy.broadcast(self.folder)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any) -> None:
        """Write the masks of a batch."""
        self.write(outputs["index"], outputs["prediction"])

    def save(self, index: int, mask: Mask) -> None:
        """Write the mask (H, W) of a frame as the ids of its label space's files, and as colours."""
        assert self.folder is not None, "the first rank has a folder"
        full = resize_mask(mask if self.table is None else self.table[mask], self.sizes[index])
        save_ids(self.folder / "ids" / self.files[index], full, self.space)
        save_colours(self.folder / "colours" / self.files[index], full, self.space)


class PictureMasks(MaskWriter):
    """Writes ``masks/<name>.png`` (class indices, with a palette) and ``overlays/<name>.png`` at each image's own size.

    `paths` are the images in the loader's order, `bits` as in `read_image`.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], space: LabelSpace, bits: int | None = None) -> None:
        self.folder, self.paths, self.space, self.bits = folder, paths, space, bits
        base = Path(os.path.commonpath([path.parent for path in paths]))
        self._names = [path.relative_to(base).with_suffix("").as_posix() for path in paths]
        self.rows: dict[int, dict[str, Any]] = {}  # by image its file and the share of each class, in 0–1
        self.unreadable: dict[Path, str] = {}  # the reasons

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        """Write the masks of a batch, and record unreadable images."""
        index, masks, _, unreadable = outputs
        self.unreadable |= {self.paths[i]: reason for i, reason in unreadable.items()}
        self.write(index, masks)

    def save(self, index: int, mask: Mask) -> None:
        """Write the mask (H, W) of an image, and the image overlaid with its colours."""
        image = read_image(self.paths[index], self.bits)
        full = resize_mask(mask, (image.shape[0], image.shape[1]))
        save_mask(self.folder / "masks" / f"{self._names[index]}.png", full, self.space)
        save_overlay(self.folder / "overlays" / f"{self._names[index]}.png", image, full, self.space)
        shares = np.bincount(full.ravel(), minlength=self.space.num_classes) / full.size
        # Pixels of void have no class: zip leaves their share out.
        self.rows[index] = {
            "file": str(self.paths[index]),
            **dict(zip(self.space.classes, shares.tolist(), strict=False)),
        }
