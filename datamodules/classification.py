"""Image classification: one class per image."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from datamodules.base import Features, ImageDataModule
from datamodules.errors import DatasetError
from datamodules.files.audit import Finding, audit, core_count
from datamodules.files.image_cache import MOST_THREADS, ReadImages
from datamodules.left_out import leave_out
from datamodules.splits.sample_table import Candidate, SampleTable
from label_spaces.space import LabelSpace
from settings.data import DataSettings


class ClassificationDataModule(ImageDataModule):
    """Feeds images and their classes, those that samples have; a dataset's `find` may end with `checked`."""

    unit: ClassVar[str] = "images"

    def __init__(self, settings: DataSettings, **options: Any) -> None:
        super().__init__(settings, **options)
        if settings.label_space is not None:
            raise DatasetError(
                f"data.label_space={settings.label_space} is about masks; the classes of images are the names of their "
                "folders or objects. Leave it out."
            )

    def checked(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Return those whose files can be decoded, with a hash of their content; record their sizes.

        Raises DatasetError naming the others, unless they are to be skipped. Equal files always land in the same split.
        """
        findings = self.readable(self.root, [each.name for each in found], "images", found)
        usable = [each for each in found if each.name in findings]
        self.contents = {each.name: (findings[each.name].content, "") for each in usable}
        self.sizes = {each.name: (findings[each.name].height, findings[each.name].width) for each in usable}
        return [replace(each, content=findings[each.name].content) for each in usable]

    def readable(
        self, root: Path, names: list[str], what: str, found: Sequence[Candidate] | None = None
    ) -> dict[str, Finding]:
        """Return the findings of the files that can be decoded; the others are left out, with `found` as in `leave_out`."""
        findings = audit(root, names, Path(self.settings.cache_dir), bits=self.settings.bit_depth)
        if broken := [(name, finding.error) for name, finding in findings.items() if finding.error is not None]:
            leave_out(self, broken, len(findings), what, found=found)
        return {name: finding for name, finding in findings.items() if finding.error is None}

    def class_order(self, targets: set[str]) -> tuple[str, ...]:
        """Return the classes that occur in the order of the label space: sorted, unless a dataset has its own."""
        return tuple(sorted(targets))

    def classes_of(self, table: SampleTable) -> LabelSpace:
        """Return the classes of the samples of a table."""
        return LabelSpace(self.settings.name, self.class_order({sample.target for sample in table.samples}))

    def class_counts(self, split: str) -> list[int]:
        """Return how many samples of each class a split has, in class order."""
        counts = self.table.counts(split)
        return [counts[name] for name in self.label_space.classes]

    def targets(self, part: str, size: tuple[int, int]) -> list[int]:
        """Return the class index of each sample of the table, whatever the part and the size."""
        place = {name: index for index, name in enumerate(self.label_space.classes)}
        return [place[sample.target] for sample in self.table.samples]

    def baseline_features(self, part: str, indices: Sequence[int]) -> Features:
        """Return the mean colours (N, 3) of samples of train, val or test, a row per place in the table."""
        size = self.train_size if part == "train" else self.eval_size
        # No cache of all samples is made for a few; one that is open is used.
        image = self._open.get(("", part, size), ReadImages(self.read, self.names, size))
        return {"mean_colour": mean_colours(image, indices)}


def mean_colours(image: Callable[[int], NDArray[np.uint8]], indices: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean colours (N, 3) in 0–255 of N samples' images, (H, W, 3) uint8 RGB, read in threads."""
    with ThreadPoolExecutor(min(MOST_THREADS, core_count())) as pool:
        means = pool.map(lambda index: image(index).mean(axis=(0, 1), dtype=np.float64), indices)
        return np.array(list(means), dtype=np.float64).reshape(-1, 3)
