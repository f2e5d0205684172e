"""Cityscapes as it is downloaded: frames of cities, with masks of label ids."""

from dataclasses import replace

from datamodules.errors import DatasetError
from datamodules.files.frame_pairs import Layout, Listing, list_pairs
from datamodules.segmentation import SegmentationDataModule
from label_spaces.space import LabelSpace

# The label spaces whose ids the official masks hold; those of train ids are made by cityscapesScripts.
MASKS = {"cityscapes_labels": "_gtFine_labelIds.png", "cityscapes19": "_gtFine_labelTrainIds.png"}


class CityscapesDataModule(SegmentationDataModule):
    """Segments ``leftImg8bit/<split>/<city>/<frame>_leftImg8bit.png`` with the ids in ``gtFine/<split>/<city>``."""

    def accepts(self, space: LabelSpace) -> bool:
        """Return whether a label space has the ids of the masks."""
        return space.name in MASKS

    def known_classes(self) -> LabelSpace:
        """Return one of the label spaces whose ids the masks hold. Raises DatasetError for another."""
        if (name := self.settings.label_space) not in MASKS:
            raise DatasetError(f"data.label_space={name}: data=cityscapes has the masks of {' and '.join(MASKS)}.")
        return super().known_classes()

    def listing(self) -> Listing:
        """List the frames; the masks of test, which hold no class, are no truth. Raises DatasetError where there are none."""
        layout = Layout(images=("_leftImg8bit.png",), truth=MASKS[self.label_space.name])
        found = list_pairs(self.roots, layout)
        found.without_truth += [replace(pair, truth="") for pair in found.pairs if pair.split == "test"]
        found.pairs = [pair for pair in found.pairs if pair.split != "test"]
        return found

    def prediction_file(self, name: str) -> str:
        """Return ``<city>/<frame>`` with the ending of the masks, as the server takes them."""
        return name.split("/", 2)[2].removesuffix("_leftImg8bit.png") + MASKS[self.label_space.name]
