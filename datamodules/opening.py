"""Images from a cache where the settings allow one, else from their files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from datamodules.caches import array_bytes, cache_name, cached_images, worth_caching
from datamodules.dataset import CachedImages, ReadImages
from datamodules.settings import DataSettings


def open_images(
    read: ReadImages, indices: Sequence[int], settings: DataSettings, facts: Iterable[str]
) -> ReadImages | CachedImages:
    """The images of some samples, by their places in the table; a cache is made now where there is none.

    Args:
        read: reads and resizes any sample.
        indices: the samples that a cache would hold.
        settings: whether to cache, and where.
        facts: what the images depend on: another cache wherever one of them differs.

    Raises DatasetError.
    """
    folder = Path(settings.cache_dir).expanduser()
    wanted = settings.cache
    if wanted == "auto":
        wanted = worth_caching(folder, array_bytes(len(read.names), read.size))
    if not wanted:
        return read
    name = cache_name(settings.name, read.size, facts)
    array = cached_images(folder / name, len(indices), read.size, lambda row: read(indices[row]))
    return CachedImages(array, indices)
