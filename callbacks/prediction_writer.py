"""Writing predicted masks batch by batch, so that memory does not grow with the number of images."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from datamodules.files.images import read_image, resize_mask
from datamodules.files.masks import Mask
from label_spaces.space import LabelSpace, normalised
from lightning_modules.errors import TrainingError
from reports.mask_images import save_colours, save_ids, save_mask, save_png
from reports.overlays import overlay
from run_folder import fitting_name


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


class PictureMasks(MaskWriter):
    """Writes ``masks/<name>`` (class indices, with a palette) at each image's own size, and ``overlays/<name>``.

    `paths` are the images in the loader's order; `names` are `mask_names` of them, and `renamed` has those that are not
    simply the image's name. `bits` as in `read_image`.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], space: LabelSpace, bits: int | None = None) -> None:
        self.folder, self.paths, self.space, self.bits = folder, paths, space, bits
        self.names = mask_names(paths)
        stems = zip(paths, self.names, strict=True)
        self.renamed = [name for path, name in stems if Path(name).name != path.with_suffix(".png").name]
        self.shares: dict[int, list[float]] = {}  # by image that of each class, in 0–1
        self.unreadable: dict[Path, str] = {}  # the reasons

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        """Write the masks of a batch, and record unreadable images."""
        index, masks, _, unreadable = outputs
        self.unreadable |= {self.paths[i]: reason for i, reason in unreadable.items()}
        self.write(index, masks)

    def save(self, index: int, mask: Mask) -> None:
        """Write the mask (H, W) of an image, and the image below its colours."""
        image = read_image(self.paths[index], self.bits)
        full = resize_mask(mask, (image.shape[0], image.shape[1]))
        save_mask(self.folder / "masks" / self.names[index], full, self.space)
        save_png(self.folder / "overlays" / self.names[index], overlay(image, full, self.space))
        counts = np.bincount(full.ravel(), minlength=self.space.num_classes)[: self.space.num_classes]  # without void
        self.shares[index] = (counts / full.size).tolist()


def mask_names(paths: Sequence[Path]) -> list[str]:
    """Return a PNG file's name for the mask of each image: its path below the folder that all images share.

    Images that differ only in their ending keep it: ``a.jpg.png``. What is still one name, or may be one for a file
    system that ignores case and the ways in which Unicode writes a letter, gets a number: ``a_2.png``. A name that is
    too long for a file is cut, and ends in a hash.
    """
    places = [Path(os.path.normpath(path.absolute())) for path in paths]
    base = os.path.commonpath([place.parent for place in places])
    places = [place.relative_to(base) for place in places]
    stems = [place.with_suffix("") for place in places]
    alike = Counter(map(_folded, stems))
    taken = {_folded(folder) for place in places for folder in place.parents}
    names: dict[int, str] = {}
    for index in sorted(range(len(places)), key=lambda index: alike[_folded(stems[index])] > 1):  # plain names first
        place = stems[index] if alike[_folded(stems[index])] == 1 else places[index]
        endings = chain([".png"], (f"_{number}.png" for number in count(2)))
        candidates = (place.with_name(fitting_name(place.name, ending)) for ending in endings)
        chosen = next(name for name in candidates if _folded(name) not in taken)
        taken.add(_folded(chosen))
        names[index] = chosen.as_posix()
    return [names[index] for index in range(len(places))]


def _folded(name: Path) -> str:
    return normalised(name.as_posix()).casefold()
