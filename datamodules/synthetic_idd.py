"""The embedded data: streets that are drawn once, in IDD's layout, and read as IDD is."""

from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.base import ImageDataModule
from datamodules.errors import DatasetError
from datamodules.files.idd_polygons import Frame
from datamodules.idd import IDDDataModule
from datamodules.object_crops import ObjectCropDataModule
from datamodules.settings import DataSettings, typed
from datamodules.synthetic.generate import DRIVES, FRAMES_PER_DRIVE, ensure


class _Streets(ImageDataModule):
    """Has the synthetic streets made below `settings.root` when they are first needed.

    Args:
        settings: the common keys of `data=`; `generator_seed` chooses the streets.
        drives: how many drives there are.
        frames_per_drive: how many frames each has.
        options: the dataset's other arguments.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        drives: int = DRIVES,
        frames_per_drive: int = FRAMES_PER_DRIVE,
        **options: Any,
    ) -> None:
        super().__init__(settings, **options)
        self.drives = drives
        self.frames_per_drive = frames_per_drive

    @cached_property
    def roots(self) -> tuple[Path, ...]:
        """The folder of this request's dataset. Raises DatasetError where it cannot be written."""
        root = self.settings.root or "data/synthetic_idd"
        if not isinstance(root, str):
            raise DatasetError(f"data.root={typed(root)}: data={self.settings.name} is made in one folder; give one.")
        place, seed = Path(root).expanduser(), self.settings.generator_seed
        try:
            return (ensure(place, seed=seed, drives=self.drives, frames_per_drive=self.frames_per_drive),)
        except OSError as error:
            raise DatasetError(f"data.root={place}: the synthetic streets cannot be written there: {error}.") from error


class SyntheticIDDCrops(_Streets, ObjectCropDataModule):
    """Crops of the objects in the synthetic streets."""

    def _intact(self, root: Path, frames: list[Frame]) -> list[Frame]:
        # A dataset under its final name was written whole: there is nothing to look for.
        return frames


class SyntheticIDDFrames(_Streets, IDDDataModule):
    """The synthetic streets' frames and masks."""
