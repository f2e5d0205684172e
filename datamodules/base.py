"""What every data module shares: which samples there are, how they are split, and the loaders that feed them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Sampler

from datamodules.augmentation import Augmentation, Image
from datamodules.dataset import CachedImages, ImageDataset, ReadImages, make_loader
from datamodules.errors import DatasetError
from datamodules.features import Features, mean_colours
from datamodules.opening import open_images
from datamodules.sampling import EvaluationBatches, SampleKey, TrainingBatches
from datamodules.settings import DataSettings
from datamodules.splits import make_table, order_hash
from datamodules.table import SPLITS, Candidate, SampleTable
from label_spaces.space import LabelSpace

if TYPE_CHECKING:
    from albumentations import Compose

Batch = dict[str, Any]
SMALL_IMAGE = 2**16  # bytes, 147 pixels square: copied in under 0.1 ms
TRAIN_EVAL = "train_eval"  # the fixed part of train that is evaluated beside val


class ImageDataModule(LightningDataModule, ABC):
    """Feeds images and the index of their class.

    A dataset says what there is (`find`) and how a sample is read (`read`); splitting, caching, augmenting and dealing
    to ranks happen here. The trainer must be made with ``use_distributed_sampler=False`` and
    ``reload_dataloaders_every_n_epochs=1``: the batch samplers deal to the ranks, and a new loader learns the epoch.

    Args:
        settings: the common keys of `data=`.
        seed: of the order of the training samples and of their augmentation.
        transform: the augmentation of training images, an albumentations pipeline; None: none.
        accumulate: batches per optimiser step.
        train_eval: whether `val_dataloader` also scores a fixed, unaugmented part of the training split.

    Attributes:
        table: the samples with their splits, after `prepare`.
        label_space: the classes, after `prepare`.
        notes: sentences for the user about what was found.
        skipped: (name, reason) of the files that cannot be read and are left out.
        start_batch: how many batches of the coming training epoch have been consumed; used once.
        test_split: the split that `test_dataloader` feeds.
    """

    task: ClassVar[str] = "classification"

    def __init__(
        self,
        settings: DataSettings,
        *,
        seed: int = 0,
        transform: "Compose | None" = None,
        accumulate: int = 1,
        train_eval: bool = True,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.seed = seed
        self.augmentation = None if transform is None else Augmentation(transform, seed)
        self.accumulate = accumulate
        self.train_eval = train_eval
        self.table: SampleTable
        self.label_space: LabelSpace
        self.notes: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.start_batch = 0
        self.test_split = "test"
        self._images: dict[tuple[str, tuple[int, int]], ReadImages | CachedImages] = {}

    # What a dataset says about itself

    @abstractmethod
    def find(self) -> list[Candidate]:
        """Every usable sample. Raises DatasetError; may add to `notes` and `skipped`."""

    @abstractmethod
    def read(self, name: str) -> Image:
        """A sample's image, (H, W, 3) uint8 RGB, at its own size; called from several threads and processes at once."""

    @property
    def root(self) -> Path:
        """The folder that sample names are relative to."""
        return self.settings.root_folder

    def class_order(self, targets: set[str]) -> tuple[str, ...]:
        """The order in which the classes that occur become the label space: sorted, unless a dataset has its own."""
        return tuple(sorted(targets))

    def settle(self, table: SampleTable) -> SampleTable:
        """The split table that is used: a dataset may leave out what the split made too small. May add to `notes`."""
        return table

    def fingerprint(self, name: str) -> str:
        """What changes when `read` would give another image: the file's size and time; a dataset may add to it."""
        facts = (self.root / name.split("#", 1)[0]).stat()
        return f"{facts.st_size}:{facts.st_mtime_ns}"

    # Finding and splitting

    def prepare(self, splits: Sequence[str] = SPLITS) -> None:
        """Find and split the samples, and check that `splits` are not empty; again: only check. Raises DatasetError."""
        if not hasattr(self, "table"):
            table, notes = make_table(self.find(), self.settings)
            self.notes += notes
            table = self.settle(table)
            classes = self.class_order({sample.target for sample in table.samples})
            self.label_space = LabelSpace(self.settings.name, classes)
            self.table = table
        if self.label_space.num_classes < 2:
            raise DatasetError(
                f"data={self.settings.name} has samples of {self.label_space.num_classes} class only "
                f"({', '.join(self.label_space.classes) or 'none'}); a classifier needs two or more."
            )
        for split in splits:
            if not self.table.indices(split):
                raise DatasetError(f"data={self.settings.name}: {split} has no samples; change data.split.")
        if "train" in splits:
            self.training_batch_sizes()

    def counts(self) -> dict[str, dict[str, int]]:
        """How many samples each split has of each class, both in their own order, zeros included."""
        return {split: dict(zip(self.label_space.classes, self.class_counts(split), strict=True)) for split in SPLITS}

    def class_counts(self, split: str) -> list[int]:
        """How many samples of each class a split has, in class order."""
        counts = self.table.counts(split)
        return [counts[name] for name in self.label_space.classes]

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of a full epoch."""
        return self._training_batches(0, 0).steps

    def training_batch_sizes(self, world_size: int | None = None) -> set[int]:
        """The sizes that the batches of an epoch have on `world_size` ranks (None: the trainer's).

        Raises DatasetError where an optimiser step cannot be dealt evenly, or an epoch has none.
        """
        settings, ranks = self.settings, world_size or self.world_size
        pieces = ranks * self.accumulate
        if settings.batch_size % pieces:
            below = settings.batch_size // pieces * pieces
            nearest = f"{below} and {below + pieces}" if below else str(pieces)
            raise DatasetError(
                f"data.batch_size={settings.batch_size} must divide by devices × accumulation = "
                f"{ranks} × {self.accumulate}; the nearest that does: {nearest}."
            )
        batches = self._training_batches(0, 0, world_size=ranks)
        if batches.steps == 0:
            raise DatasetError(
                f"data.drop_last=true leaves no batch: {len(batches.indices)} training samples are fewer than "
                f"data.batch_size={settings.batch_size}."
            )
        return batches.batch_sizes()

    # Loaders

    @property
    def rank(self) -> int:
        """This process among those that share the work."""
        return 0 if self.trainer is None else self.trainer.global_rank

    @property
    def world_size(self) -> int:
        """How many processes share the work."""
        return 1 if self.trainer is None else self.trainer.world_size

    def setup(self, stage: str) -> None:
        """Make ready what a stage reads; of several ranks one makes the caches and the others wait for it."""
        evaluated = {"fit": self.validated, "validate": self.validated, "test": (self.test_split,)}.get(stage, ())
        self.prepare([part for part in evaluated if part != TRAIN_EVAL])
        if stage == "fit":
            self.prepare(["train"])
            self.images("train", self.settings.image_size)
        for part in evaluated:
            self.images(part, self.eval_size)

    def train_dataloader(self) -> DataLoader[Batch]:
        """This rank's batches of the trainer's current epoch, from `start_batch` on."""
        start, self.start_batch = self.start_batch, 0
        # Not current_epoch, which lags by one while a run that stopped at an epoch's end is resumed.
        epoch = 0 if self.trainer is None else cast(Any, self.trainer.fit_loop.epoch_progress.current).processed
        return self.training_dataloader(epoch, start)

    def training_dataloader(self, epoch: int, start_batch: int = 0) -> DataLoader[Batch]:
        """This rank's batches of a training epoch, from `start_batch` on; its length is that of the full epoch."""
        batches = self._training_batches(epoch, start_batch)
        return self._loader(batches, self.images("train", self.settings.image_size), self.augmentation)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """The loaders of val and, with `train_eval`, of the fixed part of train."""
        return [self.evaluation_dataloader(part) for part in self.validated]

    def test_dataloader(self) -> DataLoader[Batch]:
        """The loader of `test_split`."""
        return self.evaluation_dataloader(self.test_split)

    def evaluation_dataloader(self, part: str) -> DataLoader[Batch]:
        """This rank's whole batches of train, val, test or train_eval: unaugmented, each sample counted once."""
        batches = EvaluationBatches(self.indices(part), self.settings.eval_batch_size, self.rank, self.world_size)
        return self._loader(batches, self.images(part, self.eval_size))

    @property
    def eval_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the images that are evaluated."""
        return self.settings.eval_size or self.settings.image_size

    @property
    def validated(self) -> tuple[str, ...]:
        """What `val_dataloader` has a loader for, in its order."""
        return ("val", TRAIN_EVAL) if self.train_eval else ("val",)

    def indices(self, part: str) -> list[int]:
        """The places in the table of the samples of train, val, test or train_eval, ascending.

        train_eval is a part of train, fixed by hashes of names: as many samples as val has, unless set otherwise.
        """
        if part != TRAIN_EVAL:
            return self.table.indices(part)
        wanted = self.settings.train_eval_samples or len(self.table.indices("val"))
        names = [sample.name for sample in self.table.samples]
        order = sorted(
            self.table.indices("train"), key=lambda index: order_hash(self.settings.split_seed, names[index])
        )
        return sorted(order[:wanted])

    def images(self, part: str, size: tuple[int, int]) -> ReadImages | CachedImages:
        """The images of train, val, test or train_eval at (height, width) `size`, by their places in the table.

        Where the settings allow, from a cache, which is made now if there is none. Raises DatasetError.
        """
        part = "train" if part == TRAIN_EVAL and size == self.settings.image_size else part
        if (part, size) not in self._images:
            self._images[part, size] = self._open_images(part, size)
        return self._images[part, size]

    def baseline_features(self, part: str, indices: Sequence[int]) -> Features:
        """What a baseline knows of samples of train, val or test: by name (N, d) numbers, a row per place in the table."""
        size = self.settings.image_size if part == "train" else self.eval_size
        # A few samples are no reason to make a cache of all; one that is open is used.
        read = ReadImages(self.read, [sample.name for sample in self.table.samples], size)
        return {"mean_colour": mean_colours(self._images.get((part, size), read), indices)}

    def _open_images(self, part: str, size: tuple[int, int]) -> ReadImages | CachedImages:
        names, indices = [sample.name for sample in self.table.samples], self.indices(part)
        facts = (f"{names[index]}\n{self.fingerprint(names[index])}" for index in indices)
        kind = (type(self).__qualname__, str(self.root.resolve()))
        return open_images(ReadImages(self.read, names, size), indices, self.settings, chain(kind, facts))

    def _training_batches(self, epoch: int, start_batch: int, world_size: int | None = None) -> TrainingBatches:
        return TrainingBatches(
            self.indices("train"),
            self.settings.batch_size,
            self.seed,
            epoch,
            start_batch,
            rank=self.rank,
            world_size=world_size or self.world_size,
            drop_last=self.settings.drop_last,
            accumulate=self.accumulate,
        )

    def _loader(
        self,
        batches: Sampler[list[SampleKey]],
        images: ReadImages | CachedImages,
        augmentation: Augmentation | None = None,
    ) -> DataLoader[Batch]:
        samples = self.table.samples
        place = {name: index for index, name in enumerate(self.label_space.classes)}
        names, targets = [sample.name for sample in samples], [place[sample.target] for sample in samples]
        on_cuda = torch.cuda.is_available() and (
            self.trainer is None or self.trainer.strategy.root_device.type == "cuda"
        )
        dataset = ImageDataset(names, targets, images, augmentation)
        return make_loader(dataset, batches, self._workers(images, augmentation), pin_memory=on_cuda)

    def _workers(self, images: ReadImages | CachedImages, augmentation: Augmentation | None) -> int:
        """How many processes read. Small images that are ready cost less than starting a worker and passing batches."""
        ready = isinstance(images, CachedImages) and augmentation is None and images.image_bytes <= SMALL_IMAGE
        if self.settings.num_workers is None and ready:
            return 0
        return self.settings.worker_count(1 if self.trainer is None else self.world_size // self.trainer.num_nodes)
