"""The embedded data: streets that are drawn once, in IDD's layout, and read as IDD is."""

from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.annotations import Frame
from datamodules.errors import DatasetError
from datamodules.object_crops import ObjectCropDataModule
from datamodules.settings import DataSettings
from datamodules.synthetic.generate import DRIVES, FRAMES_PER_DRIVE, ensure


class SyntheticIDDCrops(ObjectCropDataModule):
    """Crops of the synthetic streets; made below `settings.root` when they are first needed.

    Args:
        settings: the common keys of `data=`; `generator_seed` chooses the streets.
        drives: how many drives there are.
        frames_per_drive: how many frames each has.
        options: the base class's other arguments.
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
    def root(self) -> Path:
        """The folder of this request's dataset. Raises DatasetError where it cannot be written."""
        place = Path(self.settings.root or "data/synthetic_idd").expanduser()
        seed = self.settings.generator_seed
        try:
            return ensure(place, seed=seed, drives=self.drives, frames_per_drive=self.frames_per_drive)
        except OSError as error:
            raise DatasetError(f"data.root={place}: the synthetic streets cannot be written there: {error}.") from error

    def _intact(self, frames: list[Frame]) -> list[Frame]:
        # A dataset under its final name was written whole: there is nothing to look for.
        return frames
