"""From a sample's key to the tensors of a batch."""

import math
import shutil
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from datamodules.files.audit import core_share
from datamodules.files.image_cache import CachedImages, Image
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.workers import collate_shared, notice_ended, start_method, start_worker, too_many_workers
from streams import waiting


class SampleKey(NamedTuple):
    """What a batch sampler passes to a dataset."""

    epoch: int
    sample: int  # its place in the table
    counted: bool = True  # by losses and scores; others only fill a batch, so that ranks have equally many batches
    occurrence: int = 0  # how often its epoch has the sample before, with data.sampling=balanced


@dataclass(eq=False)
class TrainingBatches(Sampler[list[SampleKey]]):
    """A rank's batches of one epoch, which is set anew for the next one; samples in ascending order, some perhaps several times.

    An optimiser step has `batch_size` samples, the same ones on any number of ranks, cut into `accumulate` ×
    `world_size` contiguous pieces, as even as possible: those of a rank are its batches. BatchNorm cannot learn from a
    single sample: one that is left over joins the step before it, and where a smaller last step would have pieces of
    one, it is cut into fewer of two or three, though no step of full size is. A rank left without samples gets two of
    the step that are not counted.

    `start_batch` is how many batches were consumed; `len` stays that of the full epoch, because Lightning would end the
    epoch early otherwise. `drop_last` leaves out a last step of fewer samples than the others, `most_steps` those after so many.
    """

    indices: Sequence[int]
    batch_size: int
    seed: int
    epoch: int
    start_batch: int = 0
    rank: int = 0
    world_size: int = 1
    drop_last: bool = False
    accumulate: int = 1
    most_steps: int | None = None

    def __post_init__(self) -> None:
        assert self.batch_size % (self.world_size * self.accumulate) == 0, "a step must divide evenly"

    @property
    def steps(self) -> int:
        """Optimiser steps of this epoch."""
        return self.full_steps if self.most_steps is None else min(self.full_steps, self.most_steps)

    @property
    def full_steps(self) -> int:
        """Optimiser steps of an epoch with all samples."""
        whole, rest = divmod(len(self.indices), self.batch_size)
        return whole if self.drop_last or rest == 0 or self.joined else whole + 1

    @property
    def joined(self) -> bool:
        """Whether the last step has one sample more than `batch_size`, as no other is left for a step of its own."""
        whole, rest = divmod(len(self.indices), self.batch_size)
        return rest == 1 and whole > 0 and not self.drop_last

    def __len__(self) -> int:
        return (self.steps - 1) * self.accumulate + self._batches_of(self.steps - 1) if self.steps else 0

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.indices))
        for step in range(self.start_batch // self.accumulate, self.steps):
            first = step * self.batch_size
            places = order[first : first + self._samples_of(step)]
            pieces = np.split(places, np.cumsum(self._pieces_of(step))[:-1])
            for batch in range(self._batches_of(step)):
                if step * self.accumulate + batch >= self.start_batch:
                    piece = batch * self.world_size + self.rank
                    own = pieces[piece].tolist() if piece < len(pieces) else []
                    yield [self.key(place, bool(own)) for place in own or places[:2].tolist()]

    def key(self, place: int, counted: bool = True) -> SampleKey:
        """Return the key of a place in `indices`."""
        sample = self.indices[place]
        return SampleKey(self.epoch, sample, counted, place - bisect_left(self.indices, sample))

    def batch_sizes(self) -> set[int]:
        """Return the sizes that a batch of any rank can have in an epoch, samples that are not counted left out."""
        return {size for step in {0, self.full_steps - 1} if self.full_steps for size in self._pieces_of(step)} - {0}

    def _samples_of(self, step: int) -> int:
        rest = len(self.indices) - step * self.batch_size
        return rest if step == self.full_steps - 1 and not self.drop_last else self.batch_size

    def _pieces_of(self, step: int) -> list[int]:
        """Return the sizes of a step's pieces: of its first batch on each rank, then of its second, and so on."""
        samples, shares = self._samples_of(step), self.accumulate * self.world_size
        if 1 < samples < 2 * shares <= self.batch_size:  # even pieces would be of one
            count = samples // 2
        else:
            count = min(self.accumulate, math.ceil(samples / self.world_size)) * self.world_size
        return [samples // count + (place < samples % count) for place in range(count)]

    def _batches_of(self, step: int) -> int:
        return math.ceil(len(self._pieces_of(step)) / self.world_size)


@dataclass(frozen=True, eq=False)
class EvaluationBatches(Sampler[list[SampleKey]]):
    """A rank's batches of an evaluation: whole batches, distributed in turn.

    Rank r takes the batches r, r + world_size, …: a batch has the same samples on any number of ranks. A rank left
    without one in the last round repeats the first batch, not counted.
    """

    indices: Sequence[int]
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __len__(self) -> int:
        return math.ceil(self._batches() / self.world_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for number in range(self.rank, len(self) * self.world_size, self.world_size):
            counted = number < self._batches()
            first = number * self.batch_size if counted else 0
            yield [SampleKey(0, index, counted) for index in self.indices[first : first + self.batch_size]]

    def _batches(self) -> int:
        return math.ceil(len(self.indices) / self.batch_size)


READ_AHEAD = 4  # batches per worker, to bridge slow ones
MOST_WORKERS = 8  # beyond that, decoding images waits for memory rather than for cores
STALLED_SECONDS = 300  # after which a silent worker counts as dead: the run fails, and can be resumed
REPORTED_SECONDS = 30.0  # after which a line reports that a batch is waited for
SHARED_MEMORY = Path("/", "dev", "shm")  # through which workers pass their batches
PAGE = 4096  # bytes; each tensor of a batch has pages of its own
SEMAPHORES = 4 * (8 + 3 * MOST_WORKERS) * PAGE  # bytes: a page for each, of four loaders' queues
IN_USE = 3  # batches that were read, and whose memory is not free yet: two of a loader, and the last one of the loader before it


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
            image, mask = self.augmentation(image, name=self.name_of(key), epoch=key.epoch, mask=mask)
        return {
            "image": _tensor(image.transpose(2, 0, 1)),
            "target": self.targets[key.sample] if not callable(self.targets) else _tensor(mask),
            "index": key.sample,
            "counted": key.counted,
            **({} if mask is None or self.regions is None else {"region": _tensor(self.regions(mask))}),
        }

    def name_of(self, key: SampleKey) -> str:
        """Return what the random draws for a sample depend on beside seed and epoch: its name, different in each occurrence."""
        return self.names[key.sample] + (f"\n{key.occurrence}" if key.occurrence else "")


def _tensor(array: Image | None) -> torch.Tensor:
    """Return a contiguous copy: rows of a cache are read-only, and flipped ones have negative strides."""
    return torch.from_numpy(np.array(array, order="C"))


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack items into a batch.

    ``image`` is (B, 3, H, W) uint8, ``target`` (B,) int64 or (B, H, W) uint8, ``index`` (B,) int64 and ``counted`` one bool
    for all; where items have them, ``region`` (B, H, W) uint8 and, of `mixing`, ``partner`` (B,) int64, ``lambda`` (B,) float32.
    """
    stacked = [name for name in ("image", "target", "region", "partner", "lambda") if name in items[0]]
    return {
        **{name: default_collate([item[name] for item in items]) for name in stacked},
        "index": torch.tensor([item["index"] for item in items]),
        "counted": items[0]["counted"],
    }


class ReportedLoader(DataLoader[dict[str, Any]]):
    """A loader that reports on stderr when a batch takes long; `waited` has the seconds in which batches were waited for."""

    waited = 0.0

    @property
    def cached(self) -> bool:
        """Whether images come from a cache, decoded already."""
        return isinstance(getattr(getattr(self.dataset, "samples", self.dataset), "images", None), CachedImages)

    def __iter__(self) -> Any:
        """Start the workers, and return an iterator over the batches."""
        self.waited, began = 0.0, time.monotonic()
        batches = super().__iter__()
        if self.num_workers:
            notice_ended(batches)
        return self._reported(batches, began)

    def _reported(self, batches: Iterator[dict[str, Any]], began: float) -> Iterator[dict[str, Any]]:
        with waiting(f"the next batch of images (data.num_workers={self.num_workers})", REPORTED_SECONDS) as waits:
            for batch in batches:
                waits(False)
                self.waited += time.monotonic() - began
                yield batch
                waits(True)
                began = time.monotonic()


def make_loader(
    dataset: Dataset[dict[str, Any]],
    batches: Sampler[list[Any]],
    workers: int | None,
    *,
    pin_memory: bool,
    kept: bool = False,
    processes: int = 1,
    batch_bytes: int = 0,
    collate_fn: Callable[[list[dict[str, Any]]], dict[str, Any]] = collate,
) -> DataLoader[dict[str, Any]]:
    """Return a loader of a sampler's batches; as many processes as in `worker_count` read ahead, with 0 the caller itself."""
    workers = worker_count(workers, processes, batch_bytes)
    return ReportedLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=partial(collate_shared, collate_fn) if workers else collate_fn,
        num_workers=workers,
        worker_init_fn=start_worker,
        prefetch_factor=read_ahead(workers, processes, batch_bytes) if workers else None,
        timeout=STALLED_SECONDS if workers else 0,
        pin_memory=pin_memory,
        persistent_workers=kept and workers > 0,  # starting eight takes 0.5 s; an epoch of small data may take 1 s
        # A generator of its own: a loader that drew from torch's would change every later draw of the training.
        generator=torch.Generator(),
        multiprocessing_context=start_method() if workers else None,
    )


def worker_count(requested: int | None, processes: int = 1, batch_bytes: int = 0) -> int:
    """Return the reading processes for each of `processes` that share the cores; None leaves a core to each.

    There are only as many as shared memory has room for batches of `batch_bytes`; DatasetError where more are requested.
    """
    room = _batches_of_room(processes, batch_bytes)
    if requested is None:
        return max(0, min(MOST_WORKERS, core_share(processes) - 1, room))
    if requested > room:
        raise too_many_workers(requested, room, batch_bytes, SHARED_MEMORY, _free_shared_memory())
    return requested


def read_ahead(workers: int, processes: int = 1, batch_bytes: int = 0) -> int:
    """Return how many batches each of a process's `workers` reads ahead, as far as shared memory has room."""
    return max(1, min(READ_AHEAD, _batches_of_room(processes, batch_bytes) // max(1, workers)))


def _batches_of_room(processes: int, batch_bytes: int) -> int:
    """Return how many batches that are read ahead shared memory has room for, in each of the processes."""
    room = (_free_shared_memory() // processes - SEMAPHORES) // (batch_bytes + 4 * PAGE) - IN_USE
    return max(0, room) if batch_bytes else sys.maxsize


def _free_shared_memory() -> int:
    """Return the free bytes of shared memory; where it is not a folder (macOS), as many as can be counted."""
    if sys.platform != "linux":
        return sys.maxsize
    try:
        return shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        return 0
