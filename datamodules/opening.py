"""Images and masks from a cache where the settings allow one, else from their files."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from datamodules.files.image_cache import cache_name, cached_images, worth_caching
from datamodules.loading.dataset import CachedImages, ReadImages
from datamodules.settings import DataSettings


def open_images(
    title: str,
    read: ReadImages,
    indices: Sequence[int],
    settings: DataSettings,
    facts: Iterable[str],
    sample_bytes: int,
) -> ReadImages | CachedImages:
    """The images or masks of some samples, by their places in the table; a cache is made now where there is none.

    Args:
        title: how the cache's file name begins.
        read: reads and resizes any sample.
        indices: the samples that a cache would hold.
        settings: whether to cache, and where.
        facts: what the images depend on: another cache wherever one of them differs.
        sample_bytes: of all that is cached of a sample: the images come first, and have to leave room for their masks.

    Raises DatasetError.
    """
    folder = Path(settings.cache_dir).expanduser()
    wanted = settings.cache
    if wanted == "auto":
        wanted = worth_caching(folder, len(read.names) * sample_bytes)
    if not wanted:
        return read
    name = cache_name(title, read.shape, facts)
    beside = len(indices) * (sample_bytes - math.prod(read.shape)) if len(read.shape) == 3 else 0
    array = cached_images(folder / name, len(indices), read.shape, lambda row: read(indices[row]), beside)
    return CachedImages(array, indices)
