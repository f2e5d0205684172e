"""From a sample's key to the tensors of a batch."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from datamodules.files.images import resize, resize_mask
from datamodules.loading.augmentation import Augmentation, Image
from datamodules.loading.batch_samplers import SampleKey

READ_AHEAD = 4  # batches per worker, to bridge slow ones
STALLED_SECONDS = 300  # a worker that gives nothing for so long will never: the run fails, and can be resumed


class ReadImages:
    """Images read and resized when they are asked for.

    Args:
        read: from a sample's name to its image (H, W, 3) uint8.
        names: all samples' names; an index is a place in here.
        size: (height, width) in pixels.
    """

    def __init__(self, read: Callable[[str], Image], names: Sequence[str], size: tuple[int, int]) -> None:
        self.read = read
        self.names = names
        self.size = size

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of each image."""
        return (*self.size, 3)

    def __call__(self, index: int) -> Image:
        """The image of a sample, (height, width, 3) uint8."""
        return resize(self.read(self.names[index]), self.size)


class ReadMasks(ReadImages):
    """Masks (H, W) uint8, likewise; no pixel gets a class that is not in the mask."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of each mask."""
        return self.size

    def __call__(self, index: int) -> Image:
        """The mask of a sample, (height, width) uint8."""
        return resize_mask(self.read(self.names[index]), self.size)


class CachedImages:
    """Images or masks from an array that is ready.

    Args:
        array: (N, H, W, 3) or (N, H, W) uint8, usually mapped from a file.
        indices: which sample each row is.
    """

    def __init__(self, array: NDArray[np.uint8], indices: Sequence[int]) -> None:
        # A plain view of the mapped memory: numpy's memmap class makes each access several times dearer.
        self.array = np.asarray(array)
        self.image_bytes = self.array[0].nbytes if len(array) else 0
        self.rows = {index: row for row, index in enumerate(indices)}

    def __call__(self, index: int) -> Image:
        """The image of a sample, (H, W, 3) uint8, or its mask (H, W), read-only."""
        image: Image = self.array[self.rows[index]]
        return image


class ImageDataset(Dataset[dict[str, Any]]):
    """Images with the index of their class, or with the mask that has it for each pixel.

    An item is ``image`` (3, H, W) uint8, ``target`` (int, or (H, W) uint8), ``index`` (int, the sample's place in the
    table), ``counted`` (bool, see `SampleKey`) and, where `regions` finds it, ``region`` (H, W) uint8.

    Args:
        names: all samples' names; an index is a place in here.
        targets: the class index of each, or from an index to a mask (H, W) uint8.
        images: from an index to an image (H, W, 3) uint8.
        augmentation: what is done to an image, and to its mask with it; None: nothing.
        regions: from a mask to how large the region of each of its pixels is, (H, W) uint8; None: nobody asks.
    """

    def __init__(
        self,
        names: Sequence[str],
        targets: Sequence[int] | Callable[[int], Image],
        images: Callable[[int], Image],
        augmentation: Augmentation | None = None,
        regions: Callable[[Image], Image] | None = None,
    ) -> None:
        self.names = names
        self.targets = targets
        self.images = images
        self.augmentation = augmentation
        self.regions = regions

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        image = self.images(key.sample)
        mask = self.targets(key.sample) if callable(self.targets) else None
        if self.augmentation is not None:
            image, mask = self.augmentation(image, name=self.names[key.sample], epoch=key.epoch, mask=mask)
        return {
            "image": _tensor(image.transpose(2, 0, 1)),
            "target": self.targets[key.sample] if not callable(self.targets) else _tensor(mask),
            "index": key.sample,
            "counted": key.counted,
            **({} if mask is None or self.regions is None else {"region": _tensor(self.regions(mask))}),
        }


def _tensor(array: Image | None) -> torch.Tensor:
    """A contiguous copy: rows of a cache are read-only, and flipped ones lie backwards in memory."""
    return torch.from_numpy(np.array(array, order="C"))


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of items, stacked.

    Returns:
        ``image`` (B, 3, H, W) uint8, ``target`` (B,) int64 or (B, H, W) uint8, ``index`` (B,) int64, ``counted`` one
        bool for all, and where the items have it ``region`` (B, H, W) uint8.
    """
    stacked = [name for name in ("image", "target", "region") if name in items[0]]
    return {
        **{name: default_collate([item[name] for item in items]) for name in stacked},
        "index": torch.tensor([item["index"] for item in items]),
        "counted": items[0]["counted"],
    }


def make_loader(
    dataset: Dataset[dict[str, Any]], batches: Sampler[list[SampleKey]], workers: int, *, pin_memory: bool
) -> DataLoader[dict[str, Any]]:
    """A loader of the batches that a batch sampler lists; `workers` processes read ahead, 0 reads when asked."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_quiet_worker,
        prefetch_factor=READ_AHEAD if workers else None,
        timeout=STALLED_SECONDS if workers else 0,
        pin_memory=pin_memory,
        # A generator of its own: a loader that drew from torch's would change every later draw of the training.
        generator=torch.Generator(),
        # A forked worker starts in a fraction of a second and shares the caches; a fresh interpreter would import torch
        # anew for every epoch. A worker computes with one thread and never touches the device; what remains of the danger
        # of forking beside threads is met by `entry.distributed.rendezvous.together` and by the timeout.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )


def _quiet_worker(_worker: int) -> None:
    """Keep a reading process to one thread, as there is one process per core already, and to its loader's word."""
    signal.signal(signal.SIGTERM, _leave_at_the_second)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _leave_at_the_second(number: int, _: FrameType | None) -> None:
    """Stay at a first SIGTERM: it came to all processes, and the run ends after its step, for which there must be batches.

    A loader that wants to be rid of a worker sends one when it is closed and another when its process ends.
    """
    signal.signal(number, lambda *_: os._exit(0))
