"""The embedded data: streets that are drawn once, in IDD's layout, and read as IDD is."""

from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.errors import DatasetError
from datamodules.files.frame_pairs import Pair
from datamodules.idd import IDDDataModule
from datamodules.object_crops import ObjectCropDataModule
from datamodules.sample_index import IndexedDataModule
from datamodules.synthetic.generate import DRIVES, FRAMES_PER_DRIVE, ensure
from settings.base import as_typed
from settings.data import DataSettings


class _Streets(IndexedDataModule):
    """Reads the synthetic streets below `settings.root` that `settings.generator_seed` chooses."""

    def __init__(
        self, settings: DataSettings, *, drives: int = DRIVES, frames_per_drive: int = FRAMES_PER_DRIVE, **options: Any
    ) -> None:
        super().__init__(settings, **options)
        self.drives, self.frames_per_drive = drives, frames_per_drive

    @cached_property
    def sources(self) -> tuple[Path, ...]:
        """The folder of the streets, which are drawn now if they are not there. Raises DatasetError."""
        settings = self.settings
        root = settings.root or "data/synthetic_idd"
        if not isinstance(root, str):
            raise DatasetError(f"data.root={as_typed(root)}: data={settings.name} is made in one folder; give one.")
        place = Path(root).expanduser()
        seed = settings.generator_seed
        try:
            return (ensure(place, seed=seed, drives=self.drives, frames_per_drive=self.frames_per_drive),)
        except OSError as error:
            raise DatasetError(f"data.root={place}: the synthetic streets cannot be written there: {error}.") from error


class SyntheticIDDCrops(_Streets, ObjectCropDataModule):
    """Crops of the objects in the synthetic streets."""

    def readable_frames(self, root: Path, frames: list[Pair]) -> list[Pair]:
        """Return all frames: a folder of streets appears under its name only when all of it is written."""
        return frames


class SyntheticIDDFrames(_Streets, IDDDataModule):
    """The frames and masks of the synthetic streets."""
