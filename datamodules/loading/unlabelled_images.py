"""Images without truth, for prediction: a file or a folder; one that cannot be read is reported, not raised."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from datamodules.errors import DatasetError
from datamodules.files.images import find_images, read_image, resize
from datamodules.loading.dataset import make_loader, read_ahead, worker_count


def find_pictures(source: Path) -> list[Path]:
    """Return the picture itself, or all pictures below a folder, sorted. Raises DatasetError where there are none."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DatasetError(f"source={source}: there is no such file or folder.")
    found = (source / name for name in find_images(source, follow_links=False))
    pictures = sorted(path for path in found if path.is_file())
    if not pictures:
        raise DatasetError(f"source={source}: no pictures in this folder or below it.")
    return pictures


@dataclass(frozen=True, eq=False)
class Pictures(Dataset[dict[str, Any]]):
    """Pictures resized to (height, width); an item that cannot be read has a reason instead of an image."""

    paths: Sequence[Path]
    image_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            image = resize(read_image(self.paths[index]), self.image_size)
        except DatasetError as error:
            return {"index": index, "reason": str(error)}
        return {"index": index, "image": torch.from_numpy(image).permute(2, 0, 1)}


def _collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    good = [item for item in items if "image" in item]
    images: Tensor | None = torch.stack([item["image"] for item in good]) if good else None
    return {
        "image": images,
        "index": torch.tensor([item["index"] for item in good], dtype=torch.int64),
        "unreadable": {item["index"]: item["reason"] for item in items if "reason" in item},
    }


def picture_loader(
    paths: Sequence[Path], image_size: tuple[int, int], batch_size: int, num_workers: int | None
) -> DataLoader[dict[str, Any]]:
    """Return batches of pictures: image (B, 3, H, W) uint8 or None, index (B,), and by index why some are unreadable.

    `num_workers` processes read, None: as many as the cores allow. Raises DatasetError where they lack shared memory.
    """
    pictures, size = Pictures(paths, image_size), batch_size * math.prod(image_size) * 3
    workers = (
        worker_count(num_workers, 1, size) if len(paths) > batch_size else 0
    )  # one batch is read before one has started
    batches = BatchSampler(SequentialSampler(pictures), batch_size, drop_last=False)
    ahead = read_ahead(workers, 1, size)
    return make_loader(pictures, batches, workers, pin_memory=False, read_ahead=ahead, collate_fn=_collate)
