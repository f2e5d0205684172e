"""What every data module shares: the loaders of its samples, and the images that these read."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from datamodules import refusals
from datamodules.balanced_sampling import BalancedSampling
from datamodules.errors import DatasetError
from datamodules.files.image_cache import CachedImages, Image, ReadImages, open_images
from datamodules.files.images import read_image
from datamodules.loading.augmentation import Augmentation, check_training_size
from datamodules.loading.dataset import EvaluationBatches, ImageDataset, TrainingBatches, make_loader, worker_count
from datamodules.loading.skipping import skipping
from datamodules.sample_index import TRAIN_EVAL, IndexedDataModule
from label_spaces.space import LabelSpace
from metrics.regions import region_sizes
from settings.data import DataSettings

if TYPE_CHECKING:
    from albumentations import Compose

Batch = dict[str, Any]
Mixing = Callable[[ImageDataset, TrainingBatches, LabelSpace], Dataset[Batch]]  # a training set, its samples mixed
Features = dict[str, NDArray[np.float64]]  # by name (N, d) numbers that a baseline uses for N samples
SMALL_IMAGE = 2**16  # bytes, 147 pixels square: copied in under 0.1 ms


class ImageDataModule(IndexedDataModule):
    """Feeds images and their targets, which `ClassificationDataModule` and `SegmentationDataModule` define.

    A dataset lists its samples (`find`), and reads one of them (`read`) where that is more than decoding its file; caching,
    augmentation and distribution to ranks happen here. The trainer must be made with ``use_distributed_sampler=False`` and
    ``reload_dataloaders_every_n_epochs=1``: the batch samplers know the ranks, and each epoch has its own loader.

    `seed` determines the order of the training samples and, with the albumentations pipeline `transform`, their
    augmentation. An optimiser step has `accumulate` batches. With `train_eval`, `val_dataloader` also has the fixed,
    unaugmented part of train; with `region_sizes`, test batches hold the size class of each mask pixel's region.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        seed: int = 0,
        transform: "Compose | None" = None,
        accumulate: int = 1,
        train_eval: bool = True,
        region_sizes: bool = False,
        test_split: str | None = None,
        mixing: Mixing | None = None,
    ) -> None:
        super().__init__(settings, test_split=test_split)
        if settings.decode == "reduced" and type(self).read is not ImageDataModule.read:
            raise DatasetError(f"data.decode=reduced: {settings.name} cuts samples out of whole images. Leave it out.")
        self.seed = seed
        self.augmentation = None if transform is None else Augmentation(transform, seed)
        self.accumulate = accumulate
        self.train_eval = train_eval
        self.region_sizes, self.mixing = region_sizes, mixing
        self._open: dict[tuple[str, str, tuple[int, int]], ReadImages | CachedImages] = {}
        self._epochs: DataLoader[Batch] | None = None  # of a training, whose workers live from epoch to epoch
        self._validations: list[DataLoader[Batch]] = []  # likewise

    last_epoch: tuple[int, int | None] = (-1, None)  # the number of an epoch that has only so many optimiser steps

    def __getstate__(self) -> dict[str, Any]:
        """Return what a spawned worker needs to read images."""
        return {**self.__dict__, "trainer": None, "_open": {}, "_epochs": None, "_validations": []}

    def read(self, name: str) -> Image:
        """Return an image, (H, W, 3) uint8 RGB, at its own size; called from several threads and processes."""
        return read_image(self.file(name), self.settings.bit_depth)

    def read_reduced(self, name: str, least: tuple[int, int]) -> Image:
        """As `read`; a JPEG at a part of its size that has at least `least` (height, width)."""
        return read_image(self.file(name), self.settings.bit_depth, least)

    @abstractmethod
    def targets(self, part: str, size: tuple[int, int]) -> Sequence[int] | Callable[[int], Image]:
        """Return the targets of a part at `size`, by their places in the table: class indices, or masks."""

    def fingerprint(self, name: str) -> str:
        """Return what changes when `read` would give another image: the file's size and time."""
        facts = self.file(name).stat()
        bits = "" if self.settings.bit_depth is None else f":{self.settings.bit_depth}"
        return f"{facts.st_size}:{facts.st_mtime_ns}{bits}"

    def prepare_training(self) -> None:
        """As the base class; note also where a step has a sample more than `settings.batch_size`. Raises DatasetError."""
        super().prepare_training()
        size = self.settings.batch_size
        note = f"The last step of each epoch has {size + 1} samples: one more than data.batch_size={size}, as one would be left over."
        if self._training_batches(0, 0).joined and note not in self.notes:
            self.notes.append(note)

    def prepare_split(self, split: str) -> None:
        """As the base class; check also that shared memory suffices, and for train that steps can be distributed. Raises DatasetError."""
        super().prepare_split(split)
        self._check_workers(split, self.train_size if split == "train" else self.eval_size)
        if split == "train":
            self.training_batch_sizes()
            if self.augmentation is not None or self.train_size != self.settings.image_size:
                check_training_size(self.augmentation, self.train_size, self.settings.image_size)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of a full epoch."""
        return self._training_batches(0, 0).full_steps

    def training_batch_sizes(self, world_size: int | None = None) -> set[int]:
        """Return the sizes of an epoch's batches. Raises DatasetError where steps cannot be distributed."""
        settings, ranks = self.settings, world_size or self.world_size
        if settings.batch_size % (ranks * self.accumulate):
            raise refusals.uneven_steps(settings, ranks, self.accumulate)
        batches = self._training_batches(0, 0, world_size=ranks)
        if batches.full_steps == 0:
            raise refusals.no_step(settings, len(batches.indices))
        return batches.batch_sizes()

    # Loaders

    @property
    def rank(self) -> int:
        """The rank of this process."""
        return 0 if self.trainer is None else self.trainer.global_rank

    @property
    def world_size(self) -> int:
        """The number of processes."""
        return 1 if self.trainer is None else self.trainer.world_size

    def setup(self, stage: str) -> None:
        """Check and cache what a stage reads; of several ranks one makes the caches and the others wait for it."""
        self.find_samples()
        self._epochs, self._validations = None, []
        evaluated = {"fit": self.validated, "validate": self.validated, "test": (self.test_split,)}.get(stage, ())
        for part in evaluated:
            if part != TRAIN_EVAL:
                self.prepare_split(part)
        needed = [(part, self.eval_size) for part in evaluated]
        if stage == "fit":
            self.prepare_split("train")
            needed.insert(0, ("train", self.train_size))
        for part, size in needed:  # makes the caches, where the settings request any
            self.images(part, size)
            self.targets(part, size)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return this rank's batches of the trainer's current epoch, those before a resumed run's next batch left out."""
        if self.trainer is None:
            return self.training_dataloader(0)
        loop = cast(Any, self.trainer.fit_loop)
        batches = loop.epoch_loop.batch_progress
        # Not current_epoch, which lags by one while a run that stopped at an epoch's end is resumed.
        start = 0 if batches.is_last_batch else batches.current.ready
        epoch = loop.epoch_progress.current.processed
        if self.settings.sampling != "uniform":  # other samples in each epoch, which workers would not learn of
            return self.training_dataloader(epoch, start)
        self._epochs = self._epochs or self._loader(self._training_batches(0, 0), "train", kept=True)
        sampler = cast(TrainingBatches, self._epochs.batch_sampler)
        sampler.epoch, sampler.start_batch, sampler.most_steps = epoch, start, self._most_steps(epoch)
        return self._epochs

    def training_dataloader(self, epoch: int, start_batch: int = 0) -> DataLoader[Batch]:
        """Return this rank's batches of an epoch, from `start_batch` on; its length is that of the full epoch."""
        return self._loader(self._training_batches(epoch, start_batch), "train")

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Return the loaders of the selection's split and, with `train_eval`, of the fixed part of train."""
        self._validations = self._validations or [
            self.evaluation_dataloader(part, kept=True) for part in self.validated
        ]
        return self._validations

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of `test_split`."""
        return self.evaluation_dataloader(self.test_split, region_sizes=self.region_sizes)

    def evaluation_dataloader(self, part: str, *, region_sizes: bool = False, kept: bool = False) -> DataLoader[Batch]:
        """Return this rank's whole batches of train, val, test or train_eval: unaugmented, each sample counted once."""
        batches = EvaluationBatches(self.indices(part), self.settings.eval_batch_size, self.rank, self.world_size)
        return self._loader(batches, part, regions=region_sizes, kept=kept)

    @property
    def train_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the training images before augmentation."""
        return self.settings.load_size or self.settings.image_size

    @property
    def eval_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the images that are evaluated."""
        return self.settings.eval_size or self.settings.image_size

    @property
    def validated(self) -> tuple[str, ...]:
        """The parts that `val_dataloader` has a loader for, in its order."""
        return (self.selection_split, TRAIN_EVAL) if self.train_eval else (self.selection_split,)

    def images(self, part: str, size: tuple[int, int]) -> ReadImages | CachedImages:
        """Return a part's images at (height, width) `size`, cached where the settings allow. Raises DatasetError."""
        reduced = self.settings.decode == "reduced"
        read = partial(self.read_reduced, least=size) if reduced else self.read
        return self.opened("reduced" if reduced else "", part, ReadImages(read, self.names, size), self.fingerprint)

    def baseline_features(self, part: str, indices: Sequence[int]) -> Features:
        """Return by name a baseline's features (N, d) of `indices`, samples of train, val or test."""
        return {}

    def extents(self, indices: Sequence[int]) -> Features:
        """Return (N, 2) heights and widths in pixels of each ``image`` (a crop's frame) and ``object``, where known."""
        known = [self.sizes.get(self.table.samples[index].name) for index in indices]
        return {} if None in known else {"image": np.array(known, dtype=np.float64).reshape(-1, 2)}

    def opened(self, kind: str, part: str, read: ReadImages, stamp: Callable[[str], str]) -> ReadImages | CachedImages:
        """Return what `read` reads for a part, cached where the settings allow; `kind` distinguishes its caches."""
        part = "train" if part == TRAIN_EVAL and read.size == self.train_size else part
        key = (kind, part, read.size)
        if key not in self._open:
            indices = self.indices(part)
            facts = [type(self).__qualname__, *(str(root.resolve()) for root in self.sources)]
            stamps = (f"{read.names[index]}\n{stamp(read.names[index])}" for index in indices)
            title, needed = f"{self.settings.name}{kind}", self.sample_bytes(read.size)
            self._open[key] = open_images(title, read, indices, self.settings, chain(facts, stamps), needed)
        return self._open[key]

    def training_indices(self, epoch: int) -> list[int]:
        """Return the places in the table of an epoch's samples, ascending; by `settings.sampling` some of them several times."""
        balanced = self.settings.sampling == "balanced"
        return self._balanced.indices(self.seed, epoch) if balanced else self.indices("train")

    @cached_property
    def _balanced(self) -> BalancedSampling:
        return BalancedSampling(self)

    def _most_steps(self, epoch: int) -> int | None:
        return self.last_epoch[1] if epoch == self.last_epoch[0] else None

    def _training_batches(self, epoch: int, start_batch: int, world_size: int | None = None) -> TrainingBatches:
        return TrainingBatches(
            self.training_indices(epoch),
            self.settings.batch_size,
            self.seed,
            epoch,
            start_batch,
            rank=self.rank,
            world_size=world_size or self.world_size,
            drop_last=self.settings.drop_last,
            accumulate=self.accumulate,
            most_steps=self._most_steps(epoch),
        )

    def _loader(
        self, batches: TrainingBatches | EvaluationBatches, part: str, *, regions: bool = False, kept: bool = False
    ) -> DataLoader[Batch]:
        training = isinstance(batches, TrainingBatches)
        size, augmentation = (self.train_size, self.augmentation) if training else (self.eval_size, None)
        images = self.images(part, size)
        pin = torch.cuda.is_available() and (self.trainer is None or self.trainer.strategy.root_device.type == "cuda")
        find_regions = partial(region_sizes, void=self.label_space.void) if regions else None
        make, more = skipping(batches, part, size) if self.settings.on_corrupt == "skip" else (ImageDataset, {})
        plain = make(self.names, self.targets(part, size), images, augmentation, find_regions)
        mixing = self.mixing if isinstance(batches, TrainingBatches) else None
        dataset = plain if mixing is None else mixing(plain, cast(TrainingBatches, batches), self.label_space)
        small = isinstance(images, CachedImages) and images.image_bytes <= SMALL_IMAGE
        processes = 1 if self.trainer is None else self.world_size // self.trainer.num_nodes
        batch_bytes = self._batch_bytes(part, size) + (math.prod(size) if regions else 0)
        workers = self.settings.num_workers
        if workers is None and small and augmentation is None and not regions:
            workers = 0  # starting a worker and passing batches would cost more than reading
        return make_loader(
            dataset, batches, workers, pin_memory=pin, kept=kept, processes=processes, batch_bytes=batch_bytes, **more
        )

    def _batch_bytes(self, part: str, size: tuple[int, int]) -> int:
        """Return the bytes of a batch of a part, on one rank, as they are passed between processes."""
        training = -(-self.settings.batch_size // (self.world_size * self.accumulate))
        samples = training if part == "train" else self.settings.eval_batch_size
        return min(samples, len(self.indices(part))) * self.sample_bytes(size)

    def _check_workers(self, part: str, size: tuple[int, int]) -> None:
        """Add a note where shared memory leaves fewer workers than the cores do. Raises DatasetError for typed ones."""
        found = worker_count(self.settings.num_workers, batch_bytes=self._batch_bytes(part, size))
        cores = worker_count(self.settings.num_workers)
        note = f"Shared memory has room for {found} processes that read images, the cores for {cores}: docker run --shm-size=1g gives more."
        if found < cores and not any(each.startswith("Shared memory") for each in self.notes):
            self.notes.append(note)

    def sample_bytes(self, size: tuple[int, int]) -> int:
        """Return the bytes of all that a cache would hold of a sample at (height, width) `size`."""
        return math.prod(size) * 3
