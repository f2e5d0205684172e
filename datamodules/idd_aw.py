"""IDD-AW as it is downloaded: frames in rain, fog, low light and snow, with polygon files."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.errors import DatasetError, Defect
from datamodules.files.frame_pairs import Listing, Pair
from datamodules.files.masks import Mask, polygon_mask
from datamodules.files.patterns import Match, Pattern, pair
from datamodules.segmentation import SegmentationDataModule

FRAMES = Pattern("{split}/{weather}/rgb/{group}/{name}_rgb.png")
POLYGONS = Pattern("{split}/{weather}/gtSeg/{group}/{name}_mask.json")


class IDDAWDataModule(SegmentationDataModule):
    """Segments `FRAMES` with the outlines in `POLYGONS`; ``slices.csv`` has the scores of each weather."""

    def listing(self) -> Listing:
        """List the frames; a split without any polygon file is only predicted. Raises DatasetError where there are none."""
        masks = POLYGONS.find(self.root, frozenset({".json"}), images=False)
        found, annotated = pair(FRAMES.find(self.root), masks, by_split=True), {each.split for each in masks}
        if not found.pairs:
            raise DatasetError(f"data.root={self.root} has no frames {FRAMES.text} with {POLYGONS.text}.")

        def made(frame: Match, truth: str = "") -> Pair:
            return Pair(frame.file, truth, self.root, frame.values["group"], frame.split)

        alone = [Defect(each.file, "has no polygon file") for each in found.images if each.split in annotated]
        alone += [Defect(each.file, "has no frame") for each in found.masks]
        only_predicted = [made(each) for each in found.images if each.split not in annotated]
        return Listing([made(i, m.file) for i, m in found.pairs], only_predicted, found.repeated + alone)

    def read_truth(self, path: Path) -> Mask:
        """Return the mask (H, W) uint8 that the polygon file's outlines draw."""
        return polygon_mask(path, self.label_space)

    def tags(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the weather of each frame, as its folder is called: FOG, LOWLIGHT, RAIN or SNOW."""
        return {"weather": [name.split("/")[1] for name in names]}
