"""A cache folder that cannot be used costs time, not the run, whatever the dataset; with `data.cache=true` a warning is printed."""

import hydra.utils
import pytest
from omegaconf import OmegaConf

from settings.data import DataSettings
from tests.conftest import make_image_folder, make_mask_folder
from tests.datamodules.conftest import CONF

# By target: what is to be known of its data.
OPTIONS = {
    "ImageFolderDataModule": {"split_by": "sample"},
    "MaskFolderDataModule": {"split_by": "sample", "classes": ["sky", "road", "car"]},
    "IDDDataModule": {"split": "official", "label_space": "idd_level3"},
    "ObjectCropDataModule": {},
    "IDDLiteDataModule": {"split": "official", "label_space": "idd_lite"},
    "CityscapesDataModule": {"split": "official", "label_space": "cityscapes19"},
    "IDDAWDataModule": {"split": "official", "label_space": "idd_level3"},
    "SyntheticIDDCrops": {},
    "SyntheticIDDFrames": {"split": "official", "label_space": "idd_level3"},
}


def targets():
    for file in sorted((CONF / "data").glob("*.yaml")):
        keys = OmegaConf.load(file)
        yield from keys.targets.values() if "targets" in keys else [keys._target_]


@pytest.fixture
def roots(tmp_path, lite, idd):
    from tests.datamodules.test_cityscapes import make_cities
    from tests.datamodules.test_idd_aw import make_adverse
    from tests.datamodules.test_object_crops import make_dataset

    makers = {
        "ImageFolderDataModule": lambda: make_image_folder(tmp_path / "images"),
        "MaskFolderDataModule": lambda: make_mask_folder(tmp_path / "masks"),
        "IDDDataModule": idd,
        "ObjectCropDataModule": lambda: make_dataset(tmp_path / "crops"),
        "IDDLiteDataModule": lambda: lite,
        "CityscapesDataModule": lambda: make_cities(tmp_path / "cities"),
        "IDDAWDataModule": lambda: make_adverse(tmp_path / "adverse"),
    }
    return lambda name: makers.get(name, lambda: tmp_path / "streets")()


@pytest.mark.parametrize("target", [*targets()])
def test_a_cache_folder_that_cannot_be_used_costs_time_only(tmp_path, roots, target, capsys):
    from datamodules.crop_rules import CropRules

    name = target.rpartition(".")[2]
    more = {"rules": CropRules(train=3, train_groups=2, evaluation=1)} if "Crop" in name else {}
    more |= {"drives": 10, "frames_per_drive": 2} if "Synthetic" in name else {}
    (tmp_path / "file").touch()

    def make(cache):
        keys = {
            "name": "tiny", "root": str(roots(name)) if cache is False else first.settings.root, "split": {"train": 0.6, "val": 0.2, "test": 0.2},
            "split_by": "group", "image_size": (24, 24), "cache": cache, "cache_dir": str(tmp_path / "file" / "below"),
            "batch_size": 4, "eval_batch_size": 4, "num_workers": 0,
        }  # fmt: skip
        module = hydra.utils.get_class(target)(DataSettings(**keys | OPTIONS[name]), **more)
        module.prepare_training()
        return module

    first = make(cache=False)
    for module in (first, make(cache="auto"), make(cache=True)):
        module.setup("fit")
        assert next(iter(module.training_dataloader(0)))["image"].shape[1:] == (3, 24, 24)
    assert "warning: the image cache " in capsys.readouterr().err
