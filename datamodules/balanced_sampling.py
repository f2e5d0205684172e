"""Which samples an epoch has, and how often, when images with rare classes are repeated."""

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import shortened
from datamodules.loading.augmentation import draw_seed
from datamodules.sample_index import IndexedDataModule


class BalancedSampling:
    """Repeat-factor sampling of an epoch as long as the training set; its facts are added to the data module's notes.

    `times` is how often each training sample is expected in an epoch: its factor over the mean of all factors.
    Source: Gupta et al., LVIS, arXiv 1908.03195; there epochs have the length of the sum of the factors.
    """

    def __init__(self, data: IndexedDataModule) -> None:
        self.places, classes = data.indices("train"), data.label_space.classes
        samples = [data.table.samples[place] for place in self.places]
        if data.pixels:
            present = np.array([data.pixels[sample.name][:-1] for sample in samples]) > 0
        else:
            present = np.array([[sample.target == name for name in classes] for sample in samples])
        threshold = data.settings.sampling_threshold or 1 / len(classes)
        of_classes, of_samples = repeat_factors(present, threshold)
        self.times = of_samples / of_samples.mean()
        having = present.sum(axis=0)
        rare = [
            f"{classes[place]} ({having[place]} images, {of_classes[place] / of_samples.mean():.2f} times each)"
            for place in np.argsort(-of_classes, kind="stable")
            if of_classes[place] > 1
        ]
        if rare:
            found = f": classes in fewer than {threshold:.2%} of the training images, and how often an epoch has each of these: "
            found += f"{shortened(rare, 10)}; images without them: {1 / of_samples.mean():.2f} times."
        else:
            rarest = min((place for place in range(len(classes)) if having[place]), key=lambda place: having[place])
            found = f" changes nothing: no class is in fewer than {threshold:.2%} of the training images. The rarest, {classes[rarest]}, "
            found += f"is in {having[rarest] / len(samples):.2%} of them; type data.sampling_threshold=PART, above that and up to 1."
        data.notes.append(f"data.sampling=balanced{found}")

    def indices(self, seed: int, epoch: int) -> list[int]:
        """Return the places in the table of an epoch's samples, ascending: each `times`, rounded down or up.

        Systematic sampling: points at distance 1, from a random start, on a line where each sample, in random order, is as
        long as its `times`.
        """
        draws = np.random.default_rng(draw_seed(seed, epoch, "sampling"))
        order = draws.permutation(len(self.places))
        ends = np.cumsum(self.times[order])
        ends[-1] = len(self.places)  # free of rounding
        counts = np.empty(len(self.places), np.int64)
        counts[order] = np.diff(np.ceil(ends - draws.random()), prepend=0)
        return [int(place) for place in np.repeat(self.places, counts)]


def repeat_factors(present: NDArray[np.bool_], threshold: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the factors of C classes, max(1, √(threshold / frequency)), and of N samples: the largest of their classes.

    `present` is (N, C): which classes each sample has; a class's frequency is the part of the samples that have it.
    """
    frequency = present.mean(axis=0)
    classes = np.sqrt(np.maximum(1, threshold / np.where(frequency > 0, frequency, 1)))
    return classes, np.where(present, classes, 1).max(axis=1)
