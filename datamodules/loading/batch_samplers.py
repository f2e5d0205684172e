"""The order of samples and batches: functions of (seed, epoch), the same on any number of ranks and after any stop."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """What a batch sampler passes to a dataset."""

    epoch: int
    sample: int  # its place in the table
    counted: bool = True  # by losses and scores; others only fill a batch, so that ranks have equally many batches


Batches = Sampler[list[SampleKey]]


@dataclass(frozen=True, eq=False)
class TrainingBatches(Batches):
    """A rank's batches of one epoch.

    An optimiser step has `batch_size` samples, the same ones on any number of ranks. They are cut into
    `accumulate` × `world_size` contiguous pieces, as even as possible: the pieces of one rank are its batches for that
    step. Where the epoch's last step has too few samples for that, it has fewer batches, and a rank left without one gets
    a sample that is not counted: every rank has the same number of batches.

    `start_batch` is how many batches of this epoch have been consumed; `len` stays that of the full epoch, because
    Lightning would end the epoch early otherwise. `drop_last` leaves out a last step of fewer samples than the others.
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

    def __post_init__(self) -> None:
        assert self.batch_size % (self.world_size * self.accumulate) == 0, "a step must divide evenly"

    @property
    def steps(self) -> int:
        """Optimiser steps of a full epoch."""
        whole, rest = divmod(len(self.indices), self.batch_size)
        return whole if self.drop_last or rest == 0 else whole + 1

    def __len__(self) -> int:
        return (self.steps - 1) * self.accumulate + self._batches_of(self.steps - 1) if self.steps else 0

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.indices))
        for step in range(self.start_batch // self.accumulate, self.steps):
            first = step * self.batch_size
            samples = [self.indices[place] for place in order[first : first + self.batch_size]]
            batches = self._batches_of(step)
            pieces = np.array_split(np.asarray(samples), batches * self.world_size)
            for batch in range(batches):
                if step * self.accumulate + batch >= self.start_batch:
                    piece = pieces[batch * self.world_size + self.rank].tolist()
                    keys = [SampleKey(self.epoch, index) for index in piece]
                    yield keys or [SampleKey(self.epoch, samples[0], counted=False)]

    def batch_sizes(self) -> set[int]:
        """Return the sizes that a batch of any rank can have in an epoch, samples that are not counted left out."""
        sizes: set[int] = set()
        for step in {0, self.steps - 1} if self.steps else ():
            pieces = self._batches_of(step) * self.world_size
            samples = self._samples_of(step)
            sizes |= {samples // pieces, math.ceil(samples / pieces)}
        return sizes - {0}

    def _samples_of(self, step: int) -> int:
        return min(self.batch_size, len(self.indices) - step * self.batch_size)

    def _batches_of(self, step: int) -> int:
        return min(self.accumulate, math.ceil(self._samples_of(step) / self.world_size))


@dataclass(frozen=True, eq=False)
class EvaluationBatches(Batches):
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
