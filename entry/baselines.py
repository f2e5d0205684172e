"""What the simplest models may know of the samples, for the scores that stand beside a trained one's."""

from collections.abc import Sequence

import numpy as np

from datamodules.base import ImageDataModule
from datamodules.splits import order_hash

MOST_FITTED = 2_000  # a few weights per class need no more; pictures that are not cached cost up to 10 ms each


def baseline_data(
    datamodule: ImageDataModule, split: str, indices: Sequence[int]
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """What baselines are fitted to and asked about.

    They are fitted to the training samples, or to those 2,000 of them that come first in an order by hashes of their
    names: the same ones on every machine.

    Args:
        datamodule: prepared.
        split: which samples were evaluated.
        indices: the M places in the table of those that were.

    Returns:
        (N,) class indices of the training samples, and by name, such as ``mean_colour``, their features (N, d) and those
        of the evaluated samples (M, d).
    """
    samples = datamodule.table.samples
    order = sorted(datamodule.table.indices("train"), key=lambda index: order_hash(0, samples[index].name))
    fitted = sorted(order[:MOST_FITTED])
    place = {name: index for index, name in enumerate(datamodule.label_space.classes)}
    known = datamodule.baseline_features("train", fitted)
    asked = datamodule.baseline_features(split, indices)
    target = np.array([place[samples[index].target] for index in fitted])
    return target, {name: (known[name], asked[name]) for name in known}
