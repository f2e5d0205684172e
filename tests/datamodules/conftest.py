"""Tiny frames with truth, in the layouts of the real datasets."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra.utils
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from datamodules.classification import ClassificationDataModule
from datamodules.idd_lite import IDDLiteDataModule
from datamodules.splits.sample_table import Candidate
from settings.data import DataSettings

SIZE = (24, 36)  # height, width
CONF = Path(__file__).resolve().parents[2] / "conf"
AUGMENTATIONS = [path.stem for path in sorted((CONF / "aug").glob("*.yaml"))]


# Arguments of a data module that are not among its settings.
OPTIONS = ("transform", "seed", "accumulate", "train_eval", "region_sizes", "test_split", "mixing", "own_sizes")
CLASSES = ("cart", "auto", "bus")
PER_CLASS = 20


class Toy(ClassificationDataModule):
    """60 images of three classes, each in a text file that seeds its pixels."""

    reads = multiprocessing.get_context("fork").Value("i", 0)

    def find(self) -> list[Candidate]:
        return [
            Candidate(path.name, path.name, path.name.split("-")[0]) for path in self.root.iterdir() if "-" in path.name
        ]

    def read(self, name: str) -> np.ndarray:
        with self.reads.get_lock():
            self.reads.value += 1
        seed = int((self.root / name).read_text())
        return np.random.default_rng(seed).integers(0, 256, (11, 9, 3), dtype=np.uint8)


def fit_loop(epoch: int) -> SimpleNamespace:
    """What a data module reads of a trainer's progress at the beginning of an epoch."""
    batches = SimpleNamespace(is_last_batch=True, current=SimpleNamespace(ready=9))
    return SimpleNamespace(
        epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=epoch)),
        epoch_loop=SimpleNamespace(batch_progress=batches),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of `Toy`."""
    folder = tmp_path / "root"
    folder.mkdir()
    for n in range(PER_CLASS * len(CLASSES)):
        (folder / f"{CLASSES[n % 3]}-{n:02}").write_text(str(n))
    return folder


@pytest.fixture
def make_toy(root: Path, tmp_path: Path) -> Callable[..., Toy]:
    """Makes a `Toy`, or a class derived from it."""

    def make(*, kind: type[Toy] = Toy, prepare: bool = True, **keys: Any) -> Toy:
        options = {name: keys.pop(name) for name in OPTIONS if name in keys}
        defaults = {
            "name": "toy", "root": str(root), "split": {"train": 0.7, "val": 0.1, "test": 0.2}, "image_size": (8, 8),
            "cache": False, "cache_dir": str(tmp_path / "cache"), "batch_size": 8, "eval_batch_size": 4, "num_workers": 0,
        }  # fmt: skip
        module = kind(DataSettings(**defaults | keys), **options)
        if prepare:
            module.prepare_training()
        return module

    return make


def scene(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Ids 0, 2 and 6 in three bands of random height, a box of 3, a corner of 255."""
    rng = np.random.default_rng(seed)
    sky, road = sorted(rng.integers(4, size[0] - 4, 2).tolist())
    ids = np.full(size, 2, np.uint8)
    ids[:sky], ids[road:] = 6, 0
    top, left = rng.integers(2, size[0] - 10), rng.integers(2, size[1] - 12)
    ids[top : top + 6, left : left + 9] = 3
    ids[:2, :2] = 255
    return ids


def picture(ids: np.ndarray) -> np.ndarray:
    """An image whose red is its id, and whose other channels are its inverse and a constant."""
    return np.stack([ids, 255 - ids, np.full_like(ids, 90)], axis=-1)


@pytest.fixture
def lite(tmp_path: Path) -> Path:
    """IDD-Lite's layout: 12 drives of 2 frames for training, 2 for val, 1 without truth for test; lossless images."""
    root = tmp_path / "lite"
    for split, drives in {"train": range(12), "val": range(20, 22), "test": range(30, 31)}.items():
        for drive in drives:
            for frame in range(2):
                ids = scene(100 * drive + frame)
                image = root / f"leftImg8bit/{split}/{drive:03}/{frame}_image.jpg"
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture(ids)).save(image, "PNG")  # the ending is the layout's; the content is exact
                if split != "test":
                    mask = root / f"gtFine/{split}/{drive:03}/{frame}_label.png"
                    mask.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(ids).save(mask)
    return root


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., DataSettings]:
    """Settings of a tiny dataset, any of them changed."""

    def make(**changes: Any) -> DataSettings:
        keys = {
            "name": "tiny", "split": "official", "split_by": "group", "image_size": SIZE, "cache": False, "num_workers": 0,
            "cache_dir": str(tmp_path / "cache"), "batch_size": 4, "eval_batch_size": 3, "select_from": "train",
        }  # fmt: skip
        return DataSettings(**keys | changes)

    return make


def shipped(name: str, size: tuple[int, int] = SIZE) -> Any:
    """A pipeline of conf/aug; pictures are to have the (height, width) `size` afterwards."""
    parts = {"data": {"image_size": list(size)}, "aug": OmegaConf.load(CONF / "aug" / f"{name}.yaml")}
    return hydra.utils.instantiate(OmegaConf.create(parts).aug.transform)


def polygons(objects: list[dict[str, Any]], size: tuple[int, int] = SIZE) -> str:
    """The text of a polygon file of objects {label, polygon, …}."""
    return json.dumps({"imgHeight": size[0], "imgWidth": size[1], "objects": objects})


STREET = [
    {"label": "sky", "polygon": [[-5.5, -3], [50, -3], [50, 12.5], [-5.5, 12.5]]},
    {"label": "road", "polygon": [[0, 12], [36, 12.9], [36, 24], [0, 24]], "deleted": 0},
    {"label": "car", "polygon": [[3.7, 10.2], [12.4, 10.2], [12.9, 15.8], [3.1, 15.8]]},
    {"label": "bus", "polygon": [[0, 0], [36, 0], [36, 24]], "deleted": 1},
    {"label": "persongroup", "polygon": [[20.5, 8.5], [24.2, 8.1], [22, 20.9]]},
    {"label": "truck", "polygon": [[0, 0], [9, 9]]},
    {"label": "out of roi", "polygon": [[30, 0], [60, 0], [60, 4], [30, 4]]},
]


@pytest.fixture
def idd(tmp_path: Path) -> Callable[..., Path]:
    """Makes a root in IDD's layout: drives of 2 frames, test without truth."""

    def make(name: str = "idd", ending: str = ".png", first: int = 0, size: tuple[int, int] = SIZE) -> Path:
        root = tmp_path / name
        for split, drives in {"train": range(first, first + 10), "val": (first + 50,), "test": (first + 60,)}.items():
            for drive in drives:
                for frame in range(2):
                    image = root / f"leftImg8bit/{split}/{drive}/{frame}_leftImg8bit{ending}"
                    image.parent.mkdir(parents=True, exist_ok=True)
                    noise = np.random.default_rng([drive, frame]).integers(0, 256, (*size, 3), dtype=np.uint8)
                    Image.fromarray(noise).save(image)
                    truth = root / f"gtFine/{split}/{drive}/{frame}_gtFine_polygons.json"
                    if split != "test":
                        truth.parent.mkdir(parents=True, exist_ok=True)
                        truth.write_text(polygons(STREET, size))
        return root

    return make


@pytest.fixture
def make(lite: Path, settings: Callable[..., DataSettings]) -> Callable[..., IDDLiteDataModule]:
    """Makes a data module of the tiny IDD-Lite."""

    def make(*, prepare: bool = True, **keys: Any) -> IDDLiteDataModule:
        options = {name: keys.pop(name) for name in OPTIONS if name in keys}
        module = IDDLiteDataModule(settings(**{"root": str(lite), "label_space": "idd_lite", **keys}), **options)
        if prepare:
            module.prepare_training()
        return module

    return make
