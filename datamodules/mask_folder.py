"""Masks of one's own: images in one folder, masks of the same names in another."""

from pathlib import Path

from datamodules.errors import DatasetError, Defect
from datamodules.files.frame_pairs import Listing, Pair
from datamodules.files.images import find_images
from datamodules.files.masks import holds_colours
from datamodules.image_folder import SPLIT_FOLDERS
from datamodules.segmentation import SegmentationDataModule
from datamodules.splits.sample_table import Candidate
from label_spaces.space import LabelSpace
from settings.base import as_typed, is_csv

IMAGES, MASKS = "images", "masks"
NO_CLASS = 255  # in masks whose classes are only named: what most tools write for pixels of no class


class MaskFolderDataModule(SegmentationDataModule):
    """Segments ``images/<name>.<any>`` with the mask in ``masks/<name>.<any>``; both may have folders within.

    ``data.split=folders`` takes ``images/train``, ``images/val`` and ``images/test`` for the splits.
    """

    def known_classes(self) -> LabelSpace:
        """Return the classes that the settings name, or their label space's. Raises DatasetError unless one is set."""
        names, space = self.settings.classes, self.settings.label_space
        if (names is None) == (space is None):
            raise DatasetError(
                f"data={self.settings.name} needs to know {'its classes' if names is None else 'which of two lists of classes'}: "
                f"type data.classes=[road,sky] where masks hold 0, 1, … for them (and {NO_CLASS} for none), or "
                "data.label_space=FILE.csv with the columns name and id, and red, green, blue where masks are coloured."
            )
        if names is None:
            return super().known_classes()
        return LabelSpace(self.settings.name, tuple(names), void_ids=(NO_CLASS,))

    def listing(self) -> Listing:
        """List the pairs of equal names. Raises DatasetError where there are none or `data.split` does not fit."""
        images, masks = _by_stem(self.root, IMAGES), _by_stem(self.root, MASKS)
        of_folder = {stem: SPLIT_FOLDERS.get(stem.split("/")[0].lower()) for stem in images if "/" in stem}
        ready = set(of_folder.values()) - {None}
        self._check_split(ready)
        folders = {stem.split("/")[0] for stem in masks}
        found = Listing()
        for stem, files in images.items():
            name = f"{IMAGES}/{files[0]}"
            split = of_folder.get(stem) if self.settings.split == "folders" else None
            if len(files) > 1 or len(masks.get(stem, ())) > 1:
                twice = ", ".join(files if len(files) > 1 else masks[stem])
                found.alone.append(Defect(name, f"there are several files of this name: {twice}"))
            elif stem in masks:
                found.pairs.append(Pair(name, f"{MASKS}/{masks[stem][0]}", self.root, name, split))
            elif split == "test" and stem.split("/")[0] not in folders:
                found.without_truth.append(Pair(name, "", self.root, name, split))
            else:
                found.alone.append(Defect(name, f"has no mask {MASKS}/{stem}.(png|…)", "has no mask"))
        found.alone += [
            Defect(f"{MASKS}/{files[0]}", f"has no image {IMAGES}/{stem}.(jpg|png|…)", "has no image")
            for stem, files in masks.items()
            if stem not in images
        ]
        if not found.pairs:
            raise DatasetError(
                f"data.root={self.root} has no pair of files such as {IMAGES}/street.jpg and {MASKS}/street.png; "
                f"images found: {len(images)}, masks: {len(masks)}."
            )
        return found

    def find(self) -> list[Candidate]:
        """As the base class, with a note on whether masks hold ids or colours where both are possible."""
        found = super().find()
        if self.settings.classes is None:
            first = self.truth_of(found[0].name)
            held = "the colours" if holds_colours(first) else "the ids"
            example = first.relative_to(self.root).as_posix()
            self.notes.append(f"Masks hold {held} of {self.label_space.name}: found in {example}.")
        return found

    def prediction_file(self, name: str) -> str:
        """Return the image's name below ``images``, as PNG: a folder of predictions can be used as ``masks``."""
        return Path(name).relative_to(IMAGES).with_suffix(".png").as_posix()

    def _check_split(self, ready: set[str | None]) -> None:
        split, both = self.settings.split, {"train", "val"} <= ready
        if self.settings.split_by == "group" and not is_csv(split):
            raise DatasetError("data.split_by=group: a folder of masks has no groups; use data.split_by=sample.")
        if split == "folders" and not both:
            raise DatasetError(
                f"data.split=folders: data.root={self.root} needs {IMAGES}/train and {IMAGES}/val, and the same in {MASKS}; "
                "leave data.split out to split by fractions."
            )
        if both and split != "folders" and not is_csv(split):
            raise DatasetError(
                f"data.root={self.root} holds ready folders ({', '.join(sorted(filter(None, ready)))}); add data.split=folders "
                f"to use them, or move the files out of them to split by {as_typed(split)}."
            )


def _by_stem(root: Path, kind: str) -> dict[str, list[str]]:
    """Return the image files below a folder, sorted, by their paths without extension; hidden ones are left out."""
    folder = root / kind
    if not folder.is_dir():
        raise DatasetError(
            f"data.root={root} has no folder {kind}; expected {IMAGES} and {MASKS} with files of equal names."
        )
    found: dict[str, list[str]] = {}
    for name in find_images(folder):
        found.setdefault(Path(name).with_suffix("").as_posix(), []).append(name)
    return found
