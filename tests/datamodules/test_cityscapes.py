"""The layout of Cityscapes: https://github.com/mcordts/cityscapesScripts, README, "Dataset Structure"."""

import numpy as np
import pytest
from PIL import Image

from datamodules.cityscapes import CityscapesDataModule
from datamodules.errors import DatasetError

SIZE = (6, 8)
SPLITS = {
    "train": [f"city{number}" for number in range(10)],
    "val": ["frankfurt"],
    "test": ["berlin"],
    "train_extra": ["ulm"],
}
# Of labels.py there: id and train id of road, sky and car; 4 is static, 26 in instance masks 26001.
IDS = {"labelIds": (7, 23, 26, 4), "labelTrainIds": (0, 10, 13, 255), "instanceIds": (7, 23, 26001, 4)}


@pytest.fixture
def cities(tmp_path):
    return make_cities(tmp_path / "cities")


def make_cities(root):
    for split, names in SPLITS.items():
        for number, city in enumerate(names):
            frame = f"{split}/{city}/{city}_000000_000019"
            image = root / f"leftImg8bit/{frame}_leftImg8bit.png"
            image.parent.mkdir(parents=True)
            noise = np.random.default_rng([number, len(split)]).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            Image.fromarray(noise).save(image)
            if split == "train_extra":  # its masks are in gtCoarse
                continue
            (root / f"gtFine/{split}/{city}").mkdir(parents=True)
            for kind, (road, sky, car, static) in IDS.items():
                mask = np.full(SIZE, static, np.int32)
                if split != "test":
                    mask[:2], mask[3:], mask[4, 2:5] = sky, road, car
                depth = np.uint16 if kind == "instanceIds" else np.uint8
                Image.fromarray(mask.astype(depth)).save(root / f"gtFine/{frame}_gtFine_{kind}.png")
            (root / f"gtFine/{frame}_gtFine_polygons.json").write_text("{}")
    return root


@pytest.mark.parametrize("space", ["cityscapes_labels", "cityscapes19"])
def test_frames_are_read_by_city(cities, settings, space):
    module = CityscapesDataModule(settings(name="cityscapes", root=str(cities), label_space=space, image_size=SIZE))
    module.prepare_training()
    sizes = {split: len(module.indices(split)) for split in ("train", "select", "val", "test")}
    assert sizes == {"train": 9, "select": 1, "val": 1, "test": 0}
    assert not module.skipped
    assert {sample.group for sample in module.table.samples} == {*SPLITS["train"], "frankfurt"}
    pixels = dict(zip(module.label_space.classes, module.class_counts("val"), strict=True))
    assert {name: count for name, count in pixels.items() if count} == {"road": 21, "sky": 16, "car": 3}
    assert module.test_split == "val"
    assert [pair.group for pair in module.without_any_truth("test")] == ["berlin"]
    name = module.table.samples[module.indices("val")[0]].name
    ending = {"cityscapes_labels": "labelIds", "cityscapes19": "labelTrainIds"}[space]
    assert module.prediction_file(name) == f"frankfurt/frankfurt_000000_000019_gtFine_{ending}.png"


def test_other_classes_are_refused(cities, settings):
    with pytest.raises(DatasetError, match="has the masks of cityscapes_labels and cityscapes19"):
        CityscapesDataModule(settings(name="cityscapes", root=str(cities), label_space="idd_level3", image_size=SIZE))
