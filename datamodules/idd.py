"""IDD as it is downloaded: frames of Part I (PNG) and Part II (JPG) with polygon files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from datamodules.errors import DatasetError
from datamodules.files.frame_pairs import IDD_LAYOUT, Listing, list_pairs, refuse_repeated
from datamodules.files.idd_polygons import POLYGONS
from datamodules.files.masks import Mask, polygon_mask
from datamodules.segmentation import SegmentationDataModule
from settings.base import as_typed

# The official generator's names of the masks that it writes, by the label space whose ids they hold.
READY_MASKS = {
    "idd_level3": "labellevel3Ids",
    "idd_level2": "labellevel2Ids",
    "idd_level1": "labellevel1Ids",
    "idd_cityscapes19": "labelcsTrainIds",
    "idd_cityscapes18": "labelcsTrainIds",
}


class IDDDataModule(SegmentationDataModule):
    """Segments ``leftImg8bit/<split>/<drive>/<frame>_leftImg8bit.(png|jpg)`` with polygons or ready masks in ``gtFine``.

    `settings.root` may name several folders, such as those of both parts: drives of the same name are one drive.
    """

    several_roots = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.layout = IDD_LAYOUT
        if self.settings.masks not in ("polygons", "files"):
            raise DatasetError(
                f"data.masks={self.settings.masks}: data={self.settings.name} has polygons or files. Outlines in LabelMe's or "
                "COCO's files are read with data=mask_folder."
            )
        if self.settings.masks == "files":
            if self.label_space.name not in READY_MASKS:
                raise DatasetError(
                    f"data.masks=files: there are no ready masks for data.label_space={self.settings.label_space}, only for "
                    f"{', '.join(READY_MASKS)}; take data.masks=polygons."
                )
            self.layout = replace(IDD_LAYOUT, truth=self._mask_ending)

    @property
    def _mask_ending(self) -> str:
        return f"_{POLYGONS}_{READY_MASKS.get(self.label_space.name, f'label_{self.label_space.name}_Ids')}.png"

    def listing(self) -> Listing:
        """List the frames of all roots. Raises DatasetError where there are none, or a frame is in two roots."""
        found = list_pairs(self.roots, self.layout)
        refuse_repeated((pair.truth for pair in found.pairs), as_typed(self.settings.root))
        return found

    def prediction_file(self, name: str) -> str:
        """Return the name of a mask of these ids as the official generator has it, for the server."""
        return self.layout.beside(name, self._mask_ending)

    def read_truth(self, path: Path) -> Mask:
        """Return the mask of a file, (H, W) uint8: drawn, or read where ready ones are used."""
        return super().read_truth(path) if self.settings.masks == "files" else polygon_mask(path, self.label_space)
