"""Writing predicted masks batch by batch, so that memory does not grow with the number of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from datamodules.files.images import resize_mask
from datamodules.files.masks import Mask
from label_spaces.space import LabelSpace
from lightning_modules.errors import TrainingError
from reports.mask_images import save_colours, save_ids


class FrameMasks(Callback):
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
        masks = outputs["prediction"].to(torch.uint8).cpu().numpy()
        for i, mask in zip(outputs["index"].tolist(), masks, strict=True):
            self.save(i, mask)

    def save(self, index: int, mask: Mask) -> None:
        """Write the mask (H, W) of a frame as the ids of its label space's files, and as colours.

        Raises TrainingError where it would replace another frame's.
        """
        assert self.folder is not None, "the first rank has a folder"
        full = resize_mask(mask if self.table is None else self.table[mask], self.sizes[index])
        ids = self.folder / "ids" / self.files[index]
        if ids.exists():  # the folder was empty, and each frame's file has a name of its own
            raise TrainingError(
                f"{ids} is another frame's mask already: this file system takes names for one that differ only in capitals or in how "
                "Unicode writes them. Rename the frames, or put the run on another file system (hydra.run.dir=FOLDER)."
            )
        save_ids(ids, full, self.space)
        save_colours(self.folder / "colours" / self.files[index], full, self.space)
