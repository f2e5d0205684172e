"""With data.on_corrupt=skip: what is read where a sample's file has gone or was damaged since the dataset was checked.

In a training another sample of the epoch takes its place, so that no step is smaller; of an evaluation it is left out, so that
no sample is scored twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from datamodules.errors import UnreadableError
from datamodules.loading.augmentation import draw_seed
from datamodules.loading.dataset import EvaluationBatches, ImageDataset, SampleKey, TrainingBatches, collate

TRIES = 10  # samples that are drawn in place of one; where none of them can be read, it is the disk that is lost
Skipped = tuple[str, str, str]  # part, sample, and why it cannot be read


@dataclass(frozen=True, eq=False)
class SkippingDataset(ImageDataset):
    """A part's samples; an item that stands for one that cannot be read has ``skipped``, a list of `Skipped`.

    Of an evaluation it is black and has ``left_out``, for `collate_read`. Raises UnreadableError where no other can be read.
    """

    batches: TrainingBatches | EvaluationBatches | None = None
    part: str = ""
    size: tuple[int, int] = (0, 0)  # (height, width) in pixels

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        try:
            return super().__getitem__(key)
        except UnreadableError as error:
            skipped: list[Skipped] = [(self.part, self.names[key.sample], str(error.__cause__))] if key.counted else []
            training = isinstance(self.batches, TrainingBatches)
            return {**(self._other(key, error) if training else self._black(key)), "skipped": skipped}

    def _other(self, key: SampleKey, error: UnreadableError) -> dict[str, Any]:
        """Return another sample of the epoch: a function of (seed, epoch, sample), and of which files can be read."""
        assert isinstance(self.batches, TrainingBatches)
        plain = ImageDataset(*(getattr(self, field.name) for field in fields(ImageDataset)))
        draws = np.random.default_rng(draw_seed(self.batches.seed, key.epoch, f"{self.name_of(key)}\nskipped"))
        for _ in range(TRIES):
            other = self.batches.key(int(draws.integers(len(self.batches.indices))), key.counted)
            # The epoch has it already: an occurrence that no sampling gives it, so that it is augmented in another way.
            mark = len(self.batches.indices) + key.sample
            try:
                return plain[other._replace(epoch=key.epoch, occurrence=mark)]
            except UnreadableError:
                continue
        raise UnreadableError(f"{TRIES} others in its place cannot be read either: {error}") from error

    def _black(self, key: SampleKey) -> dict[str, Any]:
        """Return an item of the right shapes for a batch of which nothing can be read."""
        image = np.zeros((*self.size, 3), np.uint8)
        targets = (lambda _: image[..., 0]) if callable(self.targets) else self.targets
        black = ImageDataset(self.names, targets, lambda _: image, regions=self.regions)
        return {**black[key], "left_out": True}


def collate_read(items: list[dict[str, Any]]) -> dict[str, Any]:
    """As `collate`, of the items that are not left out; a batch of which none remains is not counted. With ``skipped`` of all items."""
    skipped = [each for item in items for each in item.pop("skipped", ())]
    left = [item for item in items if "left_out" not in item]
    batch = collate(left or items)
    if not left:
        batch["counted"] = False
    return {**batch, "skipped": skipped} if skipped else batch


def skipping(
    batches: TrainingBatches | EvaluationBatches, part: str, size: tuple[int, int]
) -> tuple[Callable[..., ImageDataset], dict[str, Any]]:
    """Return what takes the place of `ImageDataset` for the batches of a part at (height, width) `size`, and the loader's options that belong to it."""
    return partial(SkippingDataset, batches=batches, part=part, size=size), {"collate_fn": collate_read}
