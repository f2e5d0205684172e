"""Masks and overlays of pictures without truth, as files that are called as the pictures are."""

import os
from collections import Counter
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

import numpy as np

from datamodules.files.images import read_image, resize_mask
from datamodules.files.masks import Mask
from label_spaces.space import LabelSpace, normalised
from reports.mask_images import save_mask, save_png
from reports.overlays import overlay
from run_folder import fitting_name


class PictureMasks:
    """Writes ``masks/<name>`` (class indices, with a palette) at each image's own size, and ``overlays/<name>``.

    `paths` are the images in the loader's order; `names` are `mask_names` of them, and `renamed` has those that are not
    simply the image's name. `bits` as in `read_image`.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], space: LabelSpace, bits: int | None = None) -> None:
        self.folder, self.paths, self.space, self.bits = folder, paths, space, bits
        self.names = mask_names(paths)
        stems = zip(paths, self.names, strict=True)
        self.renamed = [name for path, name in stems if Path(name).name != path.with_suffix(".png").name]

    def save(self, index: int, mask: Mask) -> list[float]:
        """Write the mask (H, W) of an image, and the image below its colours. Returns the share of each class, in 0–1."""
        image = read_image(self.paths[index], self.bits)
        full = resize_mask(mask, (image.shape[0], image.shape[1]))
        save_mask(self.folder / "masks" / self.names[index], full, self.space)
        save_png(self.folder / "overlays" / self.names[index], overlay(image, full, self.space))
        return shares(full, self.space.num_classes)


def shares(mask: Mask, num_classes: int) -> list[float]:
    """Return the share of each class in a mask, in 0–1; what is left is void."""
    return [int(pixels) / mask.size for pixels in np.bincount(mask.ravel(), minlength=num_classes)[:num_classes]]


def mask_names(paths: Sequence[Path]) -> list[str]:
    """Return a PNG file's name for the mask of each image: its path below the folder that all images share.

    Images that differ only in their ending keep it: ``a.jpg.png``. What is still one name, or may be one for a file
    system that ignores case and the ways in which Unicode writes a letter, gets a number: ``a_2.png``. A name that is
    too long for a file is cut, and ends in a hash.
    """
    places = [Path(os.path.normpath(path.absolute())) for path in paths]
    base = os.path.commonpath([place.parent for place in places]) if places else ""
    places = [place.relative_to(base) for place in places]
    stems = [place.with_suffix("") for place in places]
    alike = Counter(map(_folded, stems))
    taken = {_folded(folder) for place in places for folder in place.parents}
    names: dict[int, str] = {}
    for index in sorted(range(len(places)), key=lambda index: alike[_folded(stems[index])] > 1):  # plain names first
        place = stems[index] if alike[_folded(stems[index])] == 1 else places[index]
        endings = chain([".png"], (f"_{number}.png" for number in count(2)))
        candidates = (place.with_name(fitting_name(place.name, ending)) for ending in endings)
        chosen = next(name for name in candidates if _folded(name) not in taken)
        taken.add(_folded(chosen))
        names[index] = chosen.as_posix()
    return [names[index] for index in range(len(places))]


def _folded(name: Path) -> str:
    return normalised(name.as_posix()).casefold()
