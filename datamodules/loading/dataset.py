"""From a sample's key to the tensors of a batch."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from datamodules.files.audit import core_count
from datamodules.files.image_cache import Image
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.batch_samplers import Batches, SampleKey

READ_AHEAD = 4  # batches per worker, to bridge slow ones
MOST_WORKERS = 8  # beyond that, decoding images waits for memory rather than for cores
STALLED_SECONDS = 300  # after which a silent worker counts as dead: the run fails, and can be resumed


@dataclass(frozen=True, eq=False)
class ImageDataset(Dataset[dict[str, Any]]):
    """Images with the index of their class, or with a mask of class indices.

    An item is ``image`` (3, H, W) uint8, ``target`` (int, or (H, W) uint8), ``index`` (int, the sample's place in the
    table), ``counted`` (bool, see `SampleKey`) and, where `regions` is given, ``region`` (H, W) uint8.
    """

    names: Sequence[str]
    targets: Sequence[int] | Callable[[int], Image]  # class indices, or from an index to a mask (H, W) uint8
    images: Callable[[int], Image]  # from an index to (H, W, 3) uint8
    augmentation: Augmentation | None = None
    regions: Callable[[Image], Image] | None = None  # from a mask to the size class of each pixel's region

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
    """Return a contiguous copy: rows of a cache are read-only, and flipped ones have negative strides."""
    return torch.from_numpy(np.array(array, order="C"))


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack items into a batch.

    ``image`` is (B, 3, H, W) uint8, ``target`` (B,) int64 or (B, H, W) uint8, ``index`` (B,) int64, ``region``, where
    items have it, (B, H, W) uint8, and ``counted`` one bool for all.
    """
    stacked = [name for name in ("image", "target", "region") if name in items[0]]
    return {
        **{name: default_collate([item[name] for item in items]) for name in stacked},
        "index": torch.tensor([item["index"] for item in items]),
        "counted": items[0]["counted"],
    }


def make_loader(
    dataset: Dataset[dict[str, Any]], batches: Batches, workers: int, *, pin_memory: bool
) -> DataLoader[dict[str, Any]]:
    """Return a loader of a sampler's batches; `workers` processes read ahead, with 0 the caller reads itself."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_start_worker,
        prefetch_factor=READ_AHEAD if workers else None,
        timeout=STALLED_SECONDS if workers else 0,
        pin_memory=pin_memory,
        # A generator of its own: a loader that drew from torch's would change every later draw of the training.
        generator=torch.Generator(),
        # A forked worker starts in a fraction of a second and shares the caches; a fresh interpreter would import torch
        # anew for every epoch. A worker computes with one thread and never touches the device; against what else may go
        # wrong when forking beside threads there are `entry.distributed.rendezvous.together` and the timeout.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )


def _start_worker(_worker: int) -> None:
    """Limit a reading process to one thread, as there is one process per core already; let it survive one SIGTERM."""
    signal.signal(signal.SIGTERM, _exit_at_the_second)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _exit_at_the_second(number: int, _: FrameType | None) -> None:
    # The first was sent to all processes: the run ends after its step, which still needs batches. A loader that
    # terminates a worker sends one when it is closed and another when its process ends.
    signal.signal(number, lambda *_: os._exit(0))


def worker_count(requested: int | None, processes: int = 1) -> int:
    """Return the reading processes for each of `processes` that share the cores; None leaves a core to each."""
    return max(0, min(MOST_WORKERS, core_count() // processes - 1)) if requested is None else requested
