"""Semantic segmentation: a class for each pixel."""

import hashlib
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from datamodules.base import ImageDataModule
from datamodules.errors import DatasetError, Defect
from datamodules.files.audit import Finding, audit, container
from datamodules.files.frame_pairs import Listing, Pair, torn_drives
from datamodules.files.image_cache import CachedImages, ReadImages, ReadMasks
from datamodules.files.mask_audit import mask_inspector, turned_note, unknown_ids, unusable
from datamodules.files.masks import Mask, image_mask
from datamodules.left_out import leave_out
from datamodules.loading.augmentation import Augmentation
from datamodules.splits.sample_table import Candidate, Sample, SampleTable
from label_spaces.catalogue import advice, load
from label_spaces.space import LabelSpace
from run_folder import LONGEST_NAME
from settings.base import as_typed, is_csv
from settings.data import DataSettings

TARGET = "mask"  # the class of every frame in a split table, whatever the label space
MOST_SIZES = 5  # that a note names


class SegmentationDataModule(ImageDataModule):
    """Feeds frames and their masks: ``target`` (B, H, W) uint8, class indices with `LabelSpace.void` for none.

    With `own_sizes`, for external masks, each frame is scored at its own size unless `settings.eval_size` is set; a run's
    own `label_space` takes the place of `known_classes`. After `find_samples`, `without_truth` has the frames that can only
    be predicted, such as an official test's. A dataset defines `listing`, and `read_truth` where its masks are not images of ids or colours.
    """

    unit: ClassVar[str] = "pixels"

    def __init__(
        self, settings: DataSettings, *, own_sizes: bool = False, label_space: LabelSpace | None = None, **options: Any
    ) -> None:
        super().__init__(settings, **options)
        if settings.riders != "separate":
            raise DatasetError(
                f"data.riders={settings.riders} is about crops of objects, for a model that classifies; masks show riders where "
                "they are. Leave it out."
            )
        self.label_space = label_space or self.named_classes()
        if self.augmentation is not None:
            self.augmentation = Augmentation(self.augmentation.transform, self.seed, self.label_space.void)
        self.without_truth: list[Pair] = []
        self.own_sizes = own_sizes
        self._pairs: dict[str, Pair] = {}
        self._native_size: tuple[int, int]
        self._only_predicted: str | None = None  # a split

    # What a dataset defines

    @abstractmethod
    def listing(self) -> Listing:
        """List the frames by name alone. Raises DatasetError where there are none."""

    def read_truth(self, path: Path) -> Mask:
        """Return the mask in a file, (H, W) uint8. Raises DatasetError naming the file."""
        return image_mask(path, self.label_space)

    def prediction_file(self, name: str) -> str:
        """Return the name of a frame's predicted mask of ids: a POSIX path below a folder of them."""
        return Path(name).with_suffix(".png").as_posix()

    def tags(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return what the dataset has about frames, such as their weather: by its name a value for each, for slices.csv."""
        return {}

    def accepts(self, space: LabelSpace) -> bool:
        """Return whether the masks can have the classes of one of our own label spaces."""
        return True

    def known_classes(self) -> LabelSpace:
        """Return the label space that the settings name. Raises DatasetError or LabelSpaceError."""
        settings = self.settings
        if settings.label_space is None:
            raise DatasetError(f"data={settings.name} needs a label space for its masks: add data.label_space=NAME.")
        return load(settings.label_space)

    def named_classes(self) -> LabelSpace:
        """Return `known_classes` with the ids in `settings.void_ids` as no class. Raises DatasetError or LabelSpaceError."""
        return self.known_classes().with_void(self.settings.void_ids or ())

    def settled_classes(self, masks: Collection[Finding]) -> LabelSpace:
        """Return the label space, once all masks have been read."""
        return self.label_space

    def classes_of(self, table: SampleTable) -> LabelSpace:
        """Return the label space, whatever classes the samples have."""
        return self.label_space

    # Finding and splitting

    def find(self) -> list[Candidate]:
        """Return every frame whose image and mask can be used. Raises DatasetError with all that is wrong, by name.

        A usable frame has files of one size that can be read, known ids or labels only, some pixel of a class, and a
        drive that is on one side of the dataset's own split.
        """
        found = self.listing()
        pairs, self.without_truth = found.pairs, found.without_truth
        images = self._audited(pairs, "images")
        masks = self._audited(pairs, "masks")
        settled = self.settled_classes(masks.values())
        if settled != self.label_space:
            self.label_space = settled
            masks = self._audited(pairs, "masks")
        defects = {pair.name: why for pair in pairs if (why := unusable(pair, images[pair.name], masks[pair.name]))}
        if isinstance(self.settings.split, str) and not is_csv(self.settings.split) and self.settings.folds is None:
            kept = (pair for pair in pairs if pair.name not in defects)
            torn = torn_drives([(pair.name, pair.group, pair.split or "") for pair in kept])
            defects |= {name: Defect(name, reason) for name, reason in torn.items()}
        candidates = [Candidate(pair.name, pair.group, TARGET, pair.split, images[pair.name].content) for pair in pairs]
        broken = [*found.alone, *defects.values()]
        ids = unknown_ids(masks.values(), self.label_space.id_of_index())
        what_to_do = advice(ids, self.label_space, "data.label_space", "data.void_ids", self.accepts)
        total = len(pairs) + len(found.alone)
        leave_out(self, broken, total, "frames", "used", advice=what_to_do, found=candidates)
        self._pairs = {pair.name: pair for pair in pairs if pair.name not in defects}
        if not self._pairs:
            raise DatasetError(f"data.root={as_typed(self.settings.root)}: no frame is left that can be used.")
        self.pixels = {name: masks[name].pixels for name in self._pairs}
        self.sizes = {name: (images[name].height, images[name].width) for name in self._pairs}
        self.contents = {name: (images[name].content, masks[name].content) for name in self._pairs}
        self._note_sizes(Counter(self.sizes.values()))
        self.notes += turned_note({n: self.truth_of(n) for n in self._pairs if images[n].orientation != 1})
        return [candidate for candidate in candidates if candidate.name in self._pairs]

    def filter_split(self, table: SampleTable) -> SampleTable:
        """Leave out frames of drives that a CSV tears apart. Raises DatasetError unless they are to be skipped."""
        if is_csv(self.settings.split) and self.settings.split_by == "group":
            torn = torn_drives((sample.name, sample.group, sample.split) for sample in table.samples)
            leave_out(self, list(torn.items()), len(table), "frames", "used")
            table = SampleTable(sample for sample in table.samples if sample.name not in torn)
        train = np.array([self.pixels[sample.name] for sample in table.samples if sample.split == "train"])
        if len(train):
            sums = train.sum(axis=0)[:-1]
            never = [name for name, count in zip(self.label_space.classes, sums, strict=True) if count == 0]
            self.notes += [f"No pixel of train is {', '.join(never)}."] if never else []
        return table

    def class_counts(self, split: str) -> list[int]:
        """Return how many pixels of each class a split's frames have at their own size, in class order."""
        pixels = [self.pixels[self.table.samples[index].name] for index in self.table.indices(split)]
        counts = np.array(pixels, dtype=np.int64).reshape(-1, self.label_space.num_classes + 1).sum(axis=0)
        return [int(count) for count in counts[:-1]]

    def without_any_truth(self, split: str) -> list[Pair]:
        """Return the frames without truth of a split that has no others."""
        return [] if self.table.indices(split) else [pair for pair in self.without_truth if pair.split == split]

    def only_predict(self, split: str) -> bool:
        """Make the frames without truth the samples of a split that has no others; their masks are all void.

        Returns whether the split has only such frames. Raises DatasetError unless what cannot be read is to be skipped.
        """
        if split == self._only_predicted:
            return True
        if not (frames := self.without_any_truth(split)):
            return False
        images = self._audited(frames, "images without truth")
        broken = [(name, finding.error) for name, finding in images.items() if finding.error]
        leave_out(self, broken, len(frames), f"{split} frames")
        self._only_predicted = split
        self._pairs |= {pair.name: pair for pair in frames if not images[pair.name].error}
        self.sizes |= {name: (images[name].height, images[name].width) for name in self._pairs if name in images}
        added = [Sample(pair.name, pair.group, TARGET, split) for pair in frames if pair.name in self._pairs]
        self.table = SampleTable([*self.table.samples, *added])
        return True

    def write_split(self, path: Path) -> None:
        """Write the split table without the frames that are only predicted: `data.split` could not read these again."""
        SampleTable(sample for sample in self.table.samples if self._pairs[sample.name].truth).write_csv(path)

    def prediction_files(self, split: str) -> dict[int, str]:
        """Return `prediction_file` by a sample's place in the table. Raises DatasetError where one cannot be written beside the others."""
        files = {index: self.prediction_file(self.table.samples[index].name) for index in self.table.indices(split)}
        folders = {folder.as_posix() for file in files.values() for folder in PurePosixPath(file).parents}
        if twice := [file for file, count in Counter(files.values()).items() if count > 1 or file in folders]:
            raise DatasetError(
                f"data.root={as_typed(self.settings.root)}: the predicted masks of several frames of {split} would have the "
                f"same name: {len(twice)} names, such as {twice[0]}; take data.split=official, or rename drives or frames."
            )
        if long := [file for file in files.values() if len(os.fsencode(PurePosixPath(file).name)) > LONGEST_NAME]:
            raise DatasetError(
                f"data.root={as_typed(self.settings.root)}: the predicted masks of {len(long)} frames of {split} would have names of "
                f"more than {LONGEST_NAME} bytes, such as {long[0]}; rename the frames, or leave out report.predictions=true."
            )
        return files

    def size_note(self, split: str) -> str | None:
        """Return a sentence on the frames of a split that are resized for evaluation; None where there are none."""
        height, width = self.eval_size
        sizes = self._sizes_of(split)
        total, kept = sizes.total(), sizes.pop(self.eval_size, 0)
        if not sizes:
            return None
        squashed = sum(count for size, count in sizes.items() if size[0] * width != size[1] * height)
        return (
            f"{total - kept} of {total} frames of {split} are resized to be evaluated at {width}×{height}: {_listed(sizes)}"
            f"{f'; {squashed} of them are squashed, as their shape is another' if squashed else ''}."
        )

    @property
    def frames(self) -> list[str]:
        """The names of all frames: also those without truth, left out of a fraction, or not usable."""
        return [*self._pairs, *(pair.name for pair in self.without_truth), *(name for name, _ in self.skipped)]

    # Reading

    def read_mask(self, name: str) -> Mask:
        """Return a frame's mask, (H, W) uint8 class indices, at its own size."""
        if not self._pairs[name].truth:
            return np.full(self.sizes[name], self.label_space.void, np.uint8)
        return self.read_truth(self.truth_of(name))

    def truth_of(self, name: str) -> Path:
        """Return the file, or ``FILE#PART``, that a frame's mask is read or drawn from."""
        pair = self._pairs[name]
        return pair.root / pair.truth

    @property
    def eval_size(self) -> tuple[int, int]:
        """(height, width) in pixels of evaluation: as set, or the size of the dataset's frames, the commonest of several."""
        return self.settings.eval_size or self._native_size

    def scored_at(self, split: str) -> tuple[int, int] | None:
        """Return (height, width) in pixels at which the frames of a split are scored; None where they differ."""
        if not self.own_sizes or self.settings.eval_size is not None:
            return self.eval_size
        sizes = [*self._sizes_of(split)]
        return sizes[0] if len(sizes) == 1 else None

    def _sizes_of(self, split: str) -> Counter[tuple[int, int]]:
        return Counter(self.sizes[self.table.samples[index].name] for index in self.table.indices(split))

    def targets(self, part: str, size: tuple[int, int]) -> ReadImages | CachedImages:
        """Return the masks of train, select, val, test or train_eval at (height, width) `size`, as `images`."""
        read = ReadMasks(self.read_mask, self.names, size)
        if part == self._only_predicted:  # nothing is read
            return read
        return self.opened("-masks", part, read, self._mask_fingerprint)

    def sample_bytes(self, size: tuple[int, int]) -> int:
        """Return the bytes of a frame and its mask at (height, width) `size`."""
        return super().sample_bytes(size) + size[0] * size[1]

    def _mask_fingerprint(self, name: str) -> str:
        path = self.truth_of(name)
        facts = container(path).stat()
        return f"{path.name}:{facts.st_size}:{facts.st_mtime_ns}:{self._space_digest}"

    @property
    def _space_digest(self) -> str:
        space = self.label_space
        ids = (space.ids, space.void_ids, sorted(space.further_ids.items()))
        facts = (space.classes, space.colours, space.void_colours, ids, sorted(space.labels.items()))
        return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()

    def _audited(self, pairs: list[Pair], kind: str) -> dict[str, Finding]:
        """Return the findings of the images, or of the masks, by the images' names."""
        cache, found = Path(self.settings.cache_dir), {}
        inspect = mask_inspector(self.read_truth, self.label_space.void) if kind == "masks" else None
        kind = kind if inspect is None else f"masks {self._space_digest}"
        for root in dict.fromkeys(pair.root for pair in pairs):
            here = [pair for pair in pairs if pair.root == root]
            files = [pair.name if inspect is None else pair.truth for pair in here]
            findings = audit(root, files, cache, kind=kind, inspect=inspect, bits=self.settings.bit_depth)
            found.update({pair.name: findings[file] for pair, file in zip(here, files, strict=True)})
        return found

    def _note_sizes(self, sizes: Counter[tuple[int, int]]) -> None:
        """Find the commonest size, of equally common ones the largest; add a note where there are several."""
        self._native_size = max(sizes, key=lambda size: (sizes[size], size))
        if len(sizes) > 1 and self.settings.eval_size is None:
            commonest = f"all are scored at the commonest, {self._native_size[1]}×{self._native_size[0]}"
            where = "each is scored at its own" if self.own_sizes else commonest
            self.notes += [f"Frames have {len(sizes)} sizes: {_listed(sizes)}; {where}, unless data.eval_size is set."]


def _listed(sizes: Counter[tuple[int, int]]) -> str:
    more = f" and {len(sizes) - MOST_SIZES} other sizes" if len(sizes) > MOST_SIZES else ""
    return ", ".join(f"{width}×{height} ({n})" for (height, width), n in sizes.most_common(MOST_SIZES)) + more
