"""Image classification: one class per image."""

from collections.abc import Sequence
from typing import ClassVar

from datamodules.base import ImageDataModule
from datamodules.dataset import ReadImages
from datamodules.errors import DatasetError
from datamodules.features import Features, mean_colours
from datamodules.table import SampleTable
from label_spaces.space import LabelSpace


class ClassificationDataModule(ImageDataModule):
    """Feeds images and the index of their class; the classes are those that the samples have."""

    task: ClassVar[str] = "classification"
    unit: ClassVar[str] = "images"

    def prepare(self, splits: Sequence[str] | None = None) -> None:
        """As the base class does. Raises DatasetError also where classes are asked for that images have not."""
        space = self.settings.label_space
        if space is not None:
            raise DatasetError(
                f"data.label_space={space} is for masks; the classes of images are those that they have. Leave it out."
            )
        super().prepare(splits)

    def class_order(self, targets: set[str]) -> tuple[str, ...]:
        """The order in which the classes that occur become the label space: sorted, unless a dataset has its own."""
        return tuple(sorted(targets))

    def classes_of(self, table: SampleTable) -> LabelSpace:
        """The classes of the samples of a table."""
        return LabelSpace(self.settings.name, self.class_order({sample.target for sample in table.samples}))

    def class_counts(self, split: str) -> list[int]:
        """How many samples of each class a split has, in class order."""
        counts = self.table.counts(split)
        return [counts[name] for name in self.label_space.classes]

    def targets(self, part: str, size: tuple[int, int]) -> list[int]:
        """The class index of each sample of the table, whatever the part and the size."""
        place = {name: index for index, name in enumerate(self.label_space.classes)}
        return [place[sample.target] for sample in self.table.samples]

    def baseline_features(self, part: str, indices: Sequence[int]) -> Features:
        """The mean colours (N, 3) of samples of train, val or test, a row per place in the table."""
        size = self.train_size if part == "train" else self.eval_size
        # A few samples are no reason to make a cache of all; one that is open is used.
        image = self._open.get(("", part, size), ReadImages(self.read, self.names, size))
        return {"mean_colour": mean_colours(image, indices)}
