"""Classification from polygons: the road users of IDD's frames, cut out one by one."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.base import Features
from datamodules.box_sizes import box_extents, box_sizes
from datamodules.classification import ClassificationDataModule
from datamodules.crop_rules import CROP_CLASSES, CropRules, crop_box, lacking, square, usable_objects
from datamodules.errors import DatasetError
from datamodules.files.audit import only_maker, remember, remembered
from datamodules.files.frame_pairs import Pair, find_frames, refuse_repeated
from datamodules.files.idd_polygons import Annotation, polygon_file, read_annotation
from datamodules.files.images import RGB, read_image
from datamodules.files.mask_audit import turned_note
from datamodules.left_out import leave_out
from datamodules.splits.sample_table import Candidate, SampleTable
from settings.base import as_typed, is_csv
from settings.data import DataSettings


class ObjectCropDataModule(ClassificationDataModule):
    """Classifies square crops of the objects in a dataset of IDD's layout, whose drives are the groups.

    A sample's name is ``<path of the frame>#<object's position in its polygon file>``. Classes that the split makes too
    small are left out, with a note. Drives of the same name in several folders of `data.root` are one drive.
    """

    several_roots = True

    def __init__(self, settings: DataSettings, *, rules: CropRules | None = None, **options: Any) -> None:
        super().__init__(settings, **options)
        if settings.masks != "polygons":
            raise DatasetError(
                f"data.masks={settings.masks} is about segmentation; objects are cut out by their polygons. Leave it out."
            )
        self.rules = replace(rules or CropRules(), riders=settings.riders)
        self._boxes: dict[str, Sequence[float]] = {}
        self._image_sizes: dict[str, tuple[int, int]] = {}

    def find(self) -> list[Candidate]:
        """Return every usable object. Raises DatasetError; frames that are left out are added to `skipped`."""
        found, frames = [], 0
        listed = {root: find_frames(root) for root in self.roots}
        refuse_repeated((frame.name for here in listed.values() for frame in here), as_typed(self.settings.root))
        for root, everything in listed.items():
            here = self.readable_frames(root, everything)
            objects, broken = _objects(root, here, self.rules, self._image_sizes, Path(self.settings.cache_dir))
            leave_out(self, broken, len(here), "frames")
            found += objects
            frames += len(here)
        if not found:
            raise DatasetError(
                f"data.root={as_typed(self.settings.root)}: none of {frames} frames has a usable object "
                f"({', '.join(CROP_CLASSES)}; short side at least {self.rules.least_side:g} pixels)."
            )
        return found if is_csv(self.settings.split) else self._common(found)

    def read(self, name: str) -> RGB:
        """Return a sample's crop, (S, S, 3) uint8 RGB, at its own size."""
        file, polygons = self.file(name), self.polygon_file(name)
        image, annotation = _frame(file, polygons, self.settings.bit_depth)
        size = image.shape[:2]
        _check_size(file, annotation, size)
        box = crop_box(annotation, name.rpartition("#")[2], self.rules.riders, polygons)
        left, top, side = square(box, self.rules.margin, size)
        return image[top : top + side, left : left + side]

    def file(self, name: str) -> Path:
        """Return the image of a sample's frame."""
        return super().file(name.rpartition("#")[0])

    def polygon_file(self, name: str) -> Path:
        """Return the polygon file of a sample's frame."""
        path, file = name.rpartition("#")[0], self.file(name)
        return polygon_file(file.parents[len(Path(path).parts) - 1], path)

    def fingerprint(self, name: str) -> str:
        """Return what changes with the frame, its polygon file, the crop's margin, and the treatment of riders."""
        facts = self.polygon_file(name).stat()
        polygons = f"{facts.st_size}:{facts.st_mtime_ns}"
        return f"{super().fingerprint(name)}:{polygons}:{self.rules.margin}:{self.rules.riders}"

    def baseline_features(self, part: str, indices: Sequence[int]) -> Features:
        """Return the base class's mean colours, and the sizes of the boxes (N, 4)."""
        return {**super().baseline_features(part, indices), "box_size": box_sizes(self._extents(indices))}

    def extents(self, indices: Sequence[int]) -> Features:
        """Return the sizes of the frames, and of the objects' boxes in them."""
        found = self._extents(indices)
        return {"image": found[:, :1:-1], "object": found[:, 1::-1]}

    def _extents(self, indices: Sequence[int]) -> np.ndarray:
        """Return `box_extents` of samples; each polygon file is read once."""
        names = [self.table.samples[index].name for index in indices]
        fresh = [name for name in names if name not in self._boxes]
        self._boxes |= dict(zip(fresh, box_extents(self.polygon_file, fresh, self.rules.riders).tolist(), strict=True))
        return np.array([self._boxes[name] for name in names]).reshape(-1, 4)

    def class_order(self, targets: set[str]) -> tuple[str, ...]:
        """Return the classes in the order of `CROP_CLASSES`."""
        return tuple(name for name in CROP_CLASSES if name in targets)

    def filter_split(self, table: SampleTable) -> SampleTable:
        """Leave out the classes that are too small. Raises DatasetError where fewer than two remain."""
        whole = is_csv(self.settings.split) or self.settings.folds is not None  # all folds have the same classes
        small = {} if whole else lacking(table, self.rules)
        if not small:
            return table
        listed = "; ".join(f"{target} ({why})" for target, why in small.items())
        kept = [sample for sample in table.samples if sample.target not in small]
        needed = (
            f"a class needs {self.rules.train} crops in train from {self.rules.train_groups} drives and "
            f"{self.rules.evaluation} in val and test each"
        )
        if len({sample.target for sample in kept}) < 2:
            raise DatasetError(f"data={self.settings.name} has too few objects: {needed}. Too small are {listed}.")
        self.notes.append(f"Left out as too small: {listed}; {needed}.")
        return SampleTable(kept)

    def _common(self, found: list[Candidate]) -> list[Candidate]:
        """Return the samples of classes that some split could make large enough."""
        least, drives = self.rules.train + 2 * self.rules.evaluation, 1
        if self.settings.folds is not None:
            drives = self.rules.train_groups + 2  # beside those that train needs one of val and of test each
        groups = defaultdict(list)
        for crop in found:
            groups[crop.target].append(crop.group)
        if rare := {name: each for name, each in groups.items() if len(each) < least or len({*each}) < drives}:
            listed = ", ".join(f"{target} ({len(each)})" for target, each in sorted(rare.items()))
            of_drives = f" of {drives} drives" if drives > 1 else ""
            self.notes.append(f"Left out as too rare: {listed}; a class needs {least} crops{of_drives}.")
        common = [crop for crop in found if crop.target not in rare]
        if len({crop.target for crop in common}) < 2:
            raise DatasetError(
                f"data={self.settings.name} has {len(found)} usable objects, too few of each class: a classifier needs "
                f"two classes of {least} crops or more."
            )
        return common

    def readable_frames(self, root: Path, frames: list[Pair]) -> list[Pair]:
        """Return the frames below a root whose image can be decoded."""
        findings = self.readable(root, [frame.name for frame in frames], "frames")
        self._image_sizes |= {name: (finding.height, finding.width) for name, finding in findings.items()}
        kept = [frame for frame in frames if frame.name in findings]
        self.notes += turned_note({f.name: root / f.truth for f in kept if findings[f.name].orientation != 1})
        return kept


def find_crops(
    root: Path, frames: list[Pair], rules: CropRules, sizes: Mapping[str, tuple[int, int]] | None = None
) -> tuple[list[Candidate], list[tuple[str, str]]]:
    """Return the usable objects, and (frame, reason) for polygon files that cannot be used or have another size."""
    found: list[Candidate] = []
    broken = []
    for frame in frames:
        try:
            annotation = read_annotation(root / frame.truth)
            _check_size(frame.name, annotation, (sizes or {}).get(frame.name))
        except DatasetError as error:
            broken.append((frame.name, str(error)))
            continue
        things = usable_objects(annotation, rules)
        found += [Candidate(f"{frame.name}#{thing.index}", frame.group, thing.label) for thing in things]
    return found, broken


def _check_size(image: object, annotation: Annotation, size: tuple[int, ...] | None) -> None:
    """Raise DatasetError where an image of `size` (height, width) has another size than its annotation."""
    if size is not None and size != (annotation.height, annotation.width):
        raise DatasetError(
            f"{image} has {size[1]}x{size[0]} pixels, its polygon file has {annotation.width}x{annotation.height}."
        )


def _objects(
    root: Path, frames: list[Pair], rules: CropRules, sizes: Mapping[str, tuple[int, int]], cache_dir: Path
) -> tuple[list[Candidate], list[tuple[str, str]]]:
    """Return `find_crops`, remembered in `cache_dir` for as long as no polygon file and no image's size changes."""
    facts = [astuple(rules), str(root.resolve())]
    for frame in frames:
        stat = (root / frame.truth).stat()
        facts.append((frame.name, stat.st_size, stat.st_mtime_ns, sizes.get(frame.name)))
    memory = cache_dir / f"crops-{hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()}.json"
    found, broken = remembered(memory), list[tuple[str, str]]()
    with only_maker(memory, lambda: found is not None):
        found = found or remembered(memory)  # of another process of this machine
        if found is None:
            crops, broken = find_crops(root, frames, rules, sizes)
            found = [(crop.name, crop.group, crop.target) for crop in crops]
            if not broken:
                remember(memory, found)
    return [Candidate(*each) for each in found], broken


@lru_cache(maxsize=8)  # crops are read frame by frame where order allows, and by several threads
def _frame(image: Path, polygons: Path, bits: int | None) -> tuple[RGB, Annotation]:
    return read_image(image, bits), read_annotation(polygons)
