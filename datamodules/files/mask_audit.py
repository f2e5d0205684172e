"""Read every mask once, to find the classes in it and whether it fits its image."""

import contextlib
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.errors import DatasetError, Defect
from datamodules.files.audit import Finding, Inspect, container
from datamodules.files.frame_pairs import Pair
from datamodules.files.images import ORIENTATION
from datamodules.files.masks import UnknownIdsError
from datamodules.files.other_files import UNREADABLE


def mask_inspector(read: Callable[[Path], NDArray[np.uint8]], void: int) -> Inspect:
    """Return how to inspect files that `read` reads as masks (H, W) of class indices up to `void`."""

    def inspect(path: Path, stamp: Finding) -> Finding:
        try:
            mask = read(path)
            file = container(path)  # of a part, what is drawn from it counts
            content = path.read_bytes() if file == path else mask.tobytes()
        except OSError as error:
            return replace(stamp, error=error.strerror or str(error))
        except DatasetError as error:
            ids = tuple(error.ids) if isinstance(error, UnknownIdsError) else ()
            reason = str(error).removeprefix(str(path)).removeprefix(str(container(path)))
            return replace(stamp, error=reason.lstrip(": "), ids=ids)
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        pixels = tuple(Image.fromarray(mask).histogram()[: void + 1])  # a tenth of numpy's time
        return replace(stamp, content=digest, height=mask.shape[0], width=mask.shape[1], pixels=pixels)

    return inspect


def unusable(pair: Pair, image: Finding, mask: Finding) -> Defect | None:
    """Return why an image and its mask cannot be used, or None."""
    if image.error or mask.error:
        causes = [error for error in (image.error, mask.error) if error]
        named = [error for error in (image.error, mask.error and f"{pair.truth}: {mask.error}") if error]
        return Defect(pair.name, "; ".join(named), "; ".join(causes))
    if (image.height, image.width) != (mask.height, mask.width):
        turned = f", once turned by its EXIF orientation {image.orientation}" if image.orientation != 1 else ""
        sizes = f"the image has {image.width}×{image.height} pixels{turned}, its mask {mask.width}×{mask.height}"
        return Defect(pair.name, sizes)
    return None if any(mask.pixels[:-1]) else Defect(pair.name, "no pixel of its mask has a class")


def unknown_ids(masks: Collection[Finding], ids: Sequence[int]) -> set[int]:
    """Return all ids in masks where half of them or more have some that their label space, with `ids`, lacks; else none."""
    lacking = [mask.ids for mask in masks if mask.ids]
    if not lacking or 2 * len(lacking) < len(masks):
        return set()
    known = {identity for mask in masks for identity, count in zip(ids, mask.pixels[:-1], strict=False) if count}
    return known.union(*lacking)


def turned_note(turned: Mapping[str, Path]) -> list[str]:
    """Return a note where images are turned by their EXIF orientation and their truth, in `turned` by name, is not."""
    apart = [name for name, mask in turned.items() if _stored_orientation(mask) == 1]
    if not apart:
        return []
    what = "images are turned by their EXIF orientation, and their masks or polygons, which have none, are not"
    return [f"{len(apart)} {what}, such as {apart[0]}: look whether they fit."]


def _stored_orientation(path: Path) -> int:
    """Return the EXIF orientation (1–8) of a file, 1 where it has none or is no image."""
    with contextlib.suppress(*UNREADABLE), Image.open(path) as image:
        return int(image.getexif().get(ORIENTATION, 1))
    return 1
