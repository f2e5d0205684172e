"""Masks of one's own: images and masks in folders of any names, or outlines in LabelMe's or COCO's files."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from datamodules.errors import DatasetError, Defect
from datamodules.files.audit import Finding
from datamodules.files.coco import CocoFile, list_coco
from datamodules.files.frame_pairs import Listing, Pair
from datamodules.files.image_files import find_images, image_extensions
from datamodules.files.labelme import BACKGROUND, ENDING, is_labelme, labelme_mask, labels_in
from datamodules.files.layouts import EQUAL_NAMES, IMAGES, JSON, Layout, find_coco, find_layout, split_in
from datamodules.files.masks import ARRAYS, Mask, holds_colours
from datamodules.files.patterns import Match, Pairs, Pattern, check_comparable, pair
from datamodules.segmentation import SegmentationDataModule
from datamodules.splits.listed import find_split_lists, read_split_lists
from datamodules.splits.sample_table import Candidate
from label_spaces import catalogue
from label_spaces.space import LabelSpace
from settings.base import as_typed, is_csv, override
from settings.data import DataSettings, is_split_list

NO_CLASS_NAMES = frozenset({"void", "unlabelled", "unlabeled", "ignore", "ignored"})
NO_CLASS = 255  # in masks whose classes are only named: what most tools write for pixels of no class
OUTLINES = ("labelme", "coco")  # values of data.masks: masks are drawn
EXAMPLES = {"image": ".(jpg|png|…)", "mask": ".(png|…)"}  # endings in messages


class MaskFolderDataModule(SegmentationDataModule):
    """Segments images with masks that are found by `data.image_pattern` and `data.mask_pattern`.

    Without patterns, ``images/<name>.<any>`` and ``masks/<name>.<any>`` are taken, both with folders within, or else the one
    layout that names of files and folders show. With `data.masks` ``labelme`` and ``coco``, masks are drawn from outlines.
    ``data.split=folders`` takes the splits of ``{split}``, or of the first folder of ``{name}``.
    """

    split_lists = True

    def __init__(self, settings: DataSettings, **options: Any) -> None:
        self._image_folder = IMAGES
        self._image_of: dict[Path, Path] = {}  # by the file of its mask
        super().__init__(settings, **options)

    def known_classes(self) -> LabelSpace:
        """Return the classes that the settings name, or their label space's, or those of outlines. Raises DatasetError."""
        settings = self.settings
        if settings.masks == "polygons" and "masks" in settings.model_fields_set:
            raise DatasetError(
                f"data.masks=polygons: data={settings.name} has masks=files, labelme or coco; polygons of IDD need data=idd."
            )
        drawn = settings.masks in OUTLINES
        names, space = settings.classes, settings.label_space
        if (names is None and space is None and not drawn) or not (names is None or space is None):
            raise DatasetError(
                f"data={settings.name} needs to know {'its classes' if names is None else 'which of two lists of classes'}: "
                f"type data.classes=[road,sky] where masks hold 0, 1, … for them (and {NO_CLASS} for none), or "
                "data.label_space=FILE.csv with the columns name and id, and red, green, blue where masks are coloured."
            )
        if names is None and space is None:
            return self._classes_of_outlines()
        if names is None:
            return super().known_classes()
        if settings.name in catalogue.names():
            raise DatasetError(
                f"data.name={settings.name}: data.classes has classes of your own, and this is the name of other ones; choose "
                "another name."
            )
        return self._named(names)

    def settled_classes(self, masks: Collection[Finding]) -> LabelSpace:
        """Return two named classes with the ids 0 and 255 where no mask has other ids: the second would have no pixel."""
        space, names = self.label_space, self.settings.classes
        pixels = [mask.pixels for mask in masks if mask.pixels]
        certain = space.ids or NO_CLASS in (self.settings.void_ids or ()) or self.settings.masks in OUTLINES
        if names is None or space.num_classes != 2 or certain:
            return space
        first, second, void = (sum(counts) for counts in zip(*pixels, strict=True)) if pixels else (0, 0, 0)
        if second or not (first and void) or any(mask.ids for mask in masks):
            return space
        self.notes.append(
            f"Masks hold 0 and {NO_CLASS} only, which are read as {names[0]} and {names[1]}; type data.void_ids=[{NO_CLASS}] "
            f"if {NO_CLASS} is no class."
        )
        return replace(space, ids=(0, NO_CLASS), void_ids=())

    def listing(self) -> Listing:
        """List the pairs. Raises DatasetError where there are none or `data.split` does not fit."""
        if self.settings.masks == "coco":
            typed, where = self.settings.image_pattern, "files of outlines"
            images = find_images(self.root) if typed is None else [each.file for each in Pattern(typed).find(self.root)]
            splits = {name: _split_of(PurePosixPath(name).parent) for name in images}
            splits |= {name: _split_of(PurePosixPath(name)) for name in self._coco}
            found = list_coco(self.root, self._coco, images, splits)
            ready = {each.split for each in found.pairs}
        else:
            found, where, ready = self._list_pairs()
        self._check_split(ready - {None}, where)
        if self.settings.split != "folders" and not is_split_list(self.settings.split) and self.settings.folds is None:
            found.pairs = [replace(each, split=None) for each in found.pairs]
        if not found.pairs and not found.alone:
            raise DatasetError(f"data.root={self.root}: no image has a mask.")
        return found

    def find(self) -> list[Candidate]:
        """As the base class, with a note on whether masks hold ids or colours where both are possible."""
        found = super().find()
        if self.settings.classes is None and self.settings.masks not in OUTLINES:
            first = self.truth_of(found[0].name)
            if first.suffix.lower() in image_extensions():
                held = "the colours" if holds_colours(first) else "the ids"
                example = first.relative_to(self.root) if first.is_relative_to(self.root) else first
                self.notes.append(f"Masks hold {held} of {self.label_space.name}: found in {example.as_posix()}.")
        for name, identity in zip(self.label_space.classes, self.label_space.id_of_index(), strict=False):
            if name.casefold() in NO_CLASS_NAMES:
                self.notes.append(f"{name} is a class like others; type data.void_ids=[{identity}] if it is no class.")
        return found

    def read_truth(self, path: Path) -> Mask:
        """Return the mask of a file, (H, W) uint8: read, or drawn from outlines."""
        if self.settings.masks == "labelme":
            return labelme_mask(path, self.label_space, self._image_of[path])
        if self.settings.masks == "coco":
            file, _, place = path.relative_to(self.root).as_posix().rpartition("#")
            return self._coco[file].mask(int(place), self.label_space)
        return super().read_truth(path)

    def prediction_file(self, name: str) -> str:
        """Return the image's name below the folder of all images, as PNG: a folder of predictions can be used as masks."""
        return PurePosixPath(name.removeprefix(f"{self._image_folder}/")).with_suffix(".png").as_posix()

    # Pairs of files

    @cached_property
    def _layout(self) -> Layout:
        typed = self.settings.image_pattern, self.settings.mask_pattern
        if typed[0] and typed[1]:
            return Layout(typed[0], typed[1])
        layout = find_layout(self.root, [ENDING] if self.settings.masks == "labelme" else [])
        if typed[0] or typed[1]:
            key = "data.mask_pattern" if typed[0] else "data.image_pattern"
            raise DatasetError(f"{key} is missing: patterns go together. Type {layout.typed}, or others for both.")
        if layout != EQUAL_NAMES:
            self.notes.append(f"The layout was recognised by names: {layout.typed}.")
        return layout

    def _list_pairs(self) -> tuple[Listing, str, set[str | None]]:
        """Return the pairs of files, where splits are looked for, and those that were found."""
        image = Pattern(self._layout.image)
        mask = Pattern(self._layout.mask, "data.mask_pattern")
        check_comparable(image, mask)
        if image.text.startswith("/"):
            raise DatasetError(f"{image.setting} must be a path within data.root={self.root}, without a / before it.")
        self._image_folder = image.folder or "."
        masks = self._mask_files(mask)
        taken = {each.file for each in masks}
        images = [each for each in image.find(self.root) if each.file not in taken]
        pairs = pair(images, masks, by_split=image.has_split and mask.has_split)
        if not pairs.pairs and not pairs.repeated:
            names = dict.fromkeys(image.fields, "street") | {"split": "train"}
            raise DatasetError(
                f"data.root={self.root} has no pair of files such as {image.example(names, '.jpg')} and "
                f"{mask.example(names, '.png')}; images found: {len(images)}, masks: {len(masks)}."
            )
        for one, other in pairs.inexact[:1]:
            self.notes.append(
                f"Masks whose names differ from their images' in case or Unicode form only: {len(pairs.inexact)}, such as "
                f"{other.file} for {one.file}."
            )
        self._image_of = {self.root / m.file: self.root / i.file for i, m in pairs.pairs}
        splits = self._splits(images)
        where = f"{image.folder}/train and {image.folder}/val, and the same in {mask.folder}"
        if image.has_split:
            where = ", ".join(image.example({"split": split}, ".*") for split in ("train", "val"))
        elif not image.folder:
            where = "folders train and val"
        return self._as_listing(pairs, splits, image, mask), where, {each.split for each in images}

    def _as_listing(self, pairs: Pairs, splits: Mapping[str, str | None], image: Pattern, mask: Pattern) -> Listing:
        """Return pairs with their splits; of images without masks those of a test that has none are only predicted."""
        split, found = self.settings.split, Listing(alone=list(pairs.repeated))
        lists = find_split_lists(self.root) if pairs.images and split != "folders" and not is_split_list(split) else []
        advice = f"; to take only those that lists name, type {override('data.split', lists[0])}" if lists else ""

        def made(each: Match, truth: str) -> Pair:
            return Pair(each.file, truth, self.root, each.values.get("group", each.file), splits[each.file])

        found.pairs = [made(i, m.file) for i, m in pairs.pairs if i.file in splits]
        masked = {each.split for each in found.pairs} | {m.split for m in pairs.masks}
        for each in (each for each in pairs.images if each.file in splits):
            if splits[each.file] == "test" and "test" not in masked:
                found.without_truth.append(made(each, ""))
            else:
                wanted = mask.example(each.values, EXAMPLES["mask"])
                found.alone.append(Defect(each.file, f"has no mask {wanted}", f"has no mask{advice}"))
        for each in pairs.masks if not is_split_list(split) else ():
            if self.settings.masks != "labelme" or is_labelme(self.root / each.file):  # not any JSON file is LabelMe's
                wanted = image.example(each.values, EXAMPLES["image"])
                found.alone.append(Defect(each.file, f"has no image {wanted}", "has no image"))
        return found

    def _splits(self, images: Collection[Match]) -> Mapping[str, str | None]:
        """Return the split of each image that is used, None where `data.split` makes new ones."""
        split = self.settings.split
        if not (isinstance(split, str) and is_split_list(split)):
            ready = split == "folders" or self.settings.folds is not None
            return {each.file: each.split if ready else None for each in images}
        found = read_split_lists(self.root, split, (each.file for each in images))
        if len(found) < len(images):
            self.notes.append(f"Images that no list of {split} names: {len(images) - len(found)}; they are left out.")
        return found

    def _mask_files(self, mask: Pattern) -> list[Match]:
        drawn = self.settings.masks == "labelme"
        return mask.find(self.root, JSON if drawn else ARRAYS, images=not drawn)

    def _check_split(self, ready: set[str | None], where: str) -> None:
        split, both = self.settings.split, "train" in ready and len(ready) > 1
        grouped = self.settings.image_pattern is not None and "{group}" in self.settings.image_pattern
        if self.settings.split_by == "group" and not is_csv(split) and not grouped:
            raise DatasetError(
                "data.split_by=group: a folder of masks has no groups; use data.split_by=sample, or put {group} into both patterns."
            )
        if split == "folders" and not both:
            there = f"; found: {', '.join(sorted(filter(None, ready)))}" if ready else ""
            raise DatasetError(
                f"data.split=folders: data.root={self.root} needs {where}{there}; leave data.split out to split by fractions."
            )
        if both and not isinstance(split, str) and self.settings.folds is None:
            raise DatasetError(
                f"data.root={self.root} holds ready folders ({', '.join(sorted(filter(None, ready)))}); add data.split=folders "
                f"to use them, or move the files out of them to split by {as_typed(split)}."
            )

    # Outlines

    def _classes_of_outlines(self) -> LabelSpace:
        """Return the classes that the files of outlines name, after the class background of what they leave out."""
        if self.settings.masks == "coco":
            names = dict.fromkeys(name for file in self._coco.values() for name in file.categories)
        else:
            mask = Pattern(self._layout.mask, "data.mask_pattern")
            found = set[str]()
            for each in self._mask_files(mask):
                with contextlib.suppress(DatasetError):  # is named with all other files that cannot be used
                    found |= labels_in(self.root / each.file)
            names = dict.fromkeys(sorted(found))
        classes = [name for name in names if name not in BACKGROUND]
        self.notes.append(f"Classes named in the files: {', '.join(classes)}; pixels that none covers are background.")
        return self._named([BACKGROUND[0], *classes])

    def _named(self, classes: Sequence[str]) -> LabelSpace:
        """Return classes of no other ids and colours; as labels of outlines they stay known where they are made void."""
        labels = {name: index for index, name in enumerate(classes)} if self.settings.masks in OUTLINES else {}
        return LabelSpace(self.settings.name, tuple(classes), void_ids=(NO_CLASS,), labels=labels)

    @cached_property
    def _coco(self) -> dict[str, CocoFile]:
        """COCO's files, by their paths. Raises DatasetError where there are none."""
        return find_coco(self.root, self.settings.mask_pattern)


def _split_of(path: PurePosixPath) -> str | None:
    """Return the split that a part of a path names, the last one that does."""
    found = [split for part in path.parts if (split := split_in(part)[1])]
    return found[-1] if found else None
