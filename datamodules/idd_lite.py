"""IDD-Lite: small frames with seven classes, as it is downloaded."""

from datamodules.errors import DatasetError
from datamodules.files.frame_pairs import Layout, Listing, list_pairs
from datamodules.segmentation import SegmentationDataModule
from label_spaces.space import LabelSpace
from settings.base import is_label_file

LAYOUT = Layout(images=("_image.jpg",), truth="_label.png", not_truth=("_inst_label.png",))
SEVEN = ("idd_lite", "idd_level1")  # the label spaces whose ids the masks hold


class IDDLiteDataModule(SegmentationDataModule):
    """Segments ``leftImg8bit/<split>/<drive>/<id>_image.jpg`` with the ids in ``gtFine/<split>/<drive>/<id>_label.png``."""

    def accepts(self, space: LabelSpace) -> bool:
        """Return whether a label space has the ids of the masks."""
        return space.name in SEVEN

    def known_classes(self) -> LabelSpace:
        """Return one of the label spaces whose ids the masks hold. Raises DatasetError for another."""
        name = self.settings.label_space
        if name not in SEVEN and not is_label_file(str(name)):
            raise DatasetError(
                f"data.label_space={name}: the masks of IDD-Lite hold seven classes; use {' or '.join(SEVEN)}, or a CSV."
            )
        return super().known_classes()

    def listing(self) -> Listing:
        """List the frames. Raises DatasetError where there are none."""
        return list_pairs(self.roots, LAYOUT)

    def prediction_file(self, name: str) -> str:
        """Return IDD-Lite's own name of a mask: ``<drive>/<id>_label.png``."""
        return LAYOUT.beside(name, LAYOUT.truth)
