"""Data for the baselines that are scored beside a trained model."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from datamodules.base import Features, ImageDataModule
from datamodules.errors import DatasetError, UnreadableError
from datamodules.files.image_cache import ReadImages, ReadMasks
from datamodules.sample_index import TRAIN_EVAL
from datamodules.segmentation import SegmentationDataModule
from datamodules.splits.sample_table import order_hash
from metrics.pixel_baselines import pixel_baseline_scores, pixel_tables
from metrics.slices import GREY

MOST_FRAMES = 500  # that tables of places and colours are filled from: 10^7 pixels and more
MOST_FITTED = 2_000  # a few weights per class need no more; pictures that are not cached cost up to 10 ms each


def baseline_data(
    datamodule: ImageDataModule, split: str, indices: Sequence[int]
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The data that baselines are fitted to, 2,000 training samples at most, and what they predict: M samples of a split.

    Returns:
        (N,) class indices of the training samples, and by name, such as ``mean_colour``, their features (N, d) and those
        of the evaluated samples (M, d).
    """
    samples, fitted = datamodule.table.samples, _some(datamodule, MOST_FITTED, datamodule.indices("train"))
    place = {name: index for index, name in enumerate(datamodule.label_space.classes)}
    fitted, known = _features(datamodule, fitted)
    evaluated = datamodule.baseline_features(split, indices)
    target = np.array([place[samples[index].target] for index in fitted])
    return target, {name: (known[name], evaluated[name]) for name in known}


def _features(datamodule: ImageDataModule, fitted: list[int]) -> tuple[list[int], Features]:
    """Return the features of training samples, and which these are: with data.on_corrupt=skip without those whose files have gone."""
    try:
        return fitted, datamodule.baseline_features("train", fitted)
    except (UnreadableError, DatasetError):
        if datamodule.settings.on_corrupt == "fail":
            raise
    left = [index for index in fitted if _readable(datamodule, index)]
    return left, datamodule.baseline_features("train", left)


def _readable(datamodule: ImageDataModule, index: int) -> bool:
    try:
        datamodule.read(datamodule.table.samples[index].name)
    except DatasetError:
        return False
    return True


def pixel_baselines(
    datamodule: SegmentationDataModule, split: str, indices: Sequence[int]
) -> tuple[dict[str, dict[str, float | int | None]], np.ndarray]:
    """Scores `{position_prior, colour_table, colour_row: {accuracy, miou, fwiou}}` on the frames that were evaluated, and (M,) their mean grey values.

    They are fitted to as many frames of train as the selection's split has, 500 at most, whatever data.train_eval_samples
    is: a baseline must not depend on what history.csv shows. Without train there are none.
    """
    size = datamodule.eval_size

    def frames(part: str | None, chosen: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        images: Callable[[int], np.ndarray] = ReadImages(datamodule.read, datamodule.names, size)
        masks: Callable[[int], np.ndarray] = ReadMasks(datamodule.read_mask, datamodule.names, size)
        if part is not None:  # it may be cached
            images, masks = datamodule.images(part, size), datamodule.targets(part, size)
        return _read(images, masks, chosen, skip=datamodule.settings.on_corrupt == "skip" and chosen is not indices)

    grey: list[float] = []

    def evaluated() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for image, mask in frames(split, indices):
            grey.append(float(np.dot(cv2.mean(image.transpose(1, 2, 0))[:3], GREY)))
            yield image, mask

    if not datamodule.indices("train"):
        return pixel_baseline_scores({}, evaluated()), np.array(grey)
    tables = pixel_tables(datamodule.label_space.num_classes)
    learnt = _some(datamodule, MOST_FRAMES, datamodule.part_of_train())
    for image, mask in frames(TRAIN_EVAL if {*learnt} <= {*datamodule.indices(TRAIN_EVAL)} else None, learnt):
        for table in tables.values():
            table.update(image, mask)
    return pixel_baseline_scores(tables, evaluated()), np.array(grey)


def _read(
    images: Callable[[int], np.ndarray], masks: Callable[[int], np.ndarray], chosen: Sequence[int], *, skip: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images (3, H, W) and masks (H, W); with `skip` without those that cannot be read any more."""
    for index in chosen:
        try:
            frame = images(index).transpose(2, 0, 1), masks(index)
        except UnreadableError:
            if not skip:
                raise
            continue
        yield frame


def _some(datamodule: ImageDataModule, most: int, indices: Sequence[int]) -> list[int]:
    """The first of these samples in an order by hashes of their names: the same ones on every machine."""
    samples = datamodule.table.samples
    order = sorted(indices, key=lambda index: order_hash(0, samples[index].name))
    return sorted(order[:most])
