"""Image classification: one class per image."""

from collections.abc import Sequence
from typing import Any, ClassVar

from datamodules.base import ImageDataModule
from datamodules.baseline_features import Features, mean_colours
from datamodules.errors import DatasetError
from datamodules.files.image_cache import ReadImages
from datamodules.splits.sample_table import SampleTable
from label_spaces.space import LabelSpace
from settings.data import DataSettings


class ClassificationDataModule(ImageDataModule):
    """Feeds images and the index of their class; the classes are those of the samples."""

    unit: ClassVar[str] = "images"

    def __init__(self, settings: DataSettings, **options: Any) -> None:
        super().__init__(settings, **options)
        if settings.label_space is not None:
            raise DatasetError(
                f"data.label_space={settings.label_space} is about masks; the classes of images are the names of their "
                "folders or objects. Leave it out."
            )

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
