"""docs/OWN_DATA.md, from a downloaded folder of images and masks to a trained model: its commands on tiny generated data."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/OWN_DATA.md").read_text(encoding="utf-8")
QUICK = ("model.weights=none", "trainer=cpu", "trainer.max_epochs=1", "trainer.threads=1", "trainer.limit_batches=1", "logger=csv", "data.image_size=[32,32]",
         "data.num_workers=0", "data.batch_size=2", "data.drop_last=true")  # fmt: skip
SIZE = (32, 48)
CAR = [[4, 8], [20, 8], [20, 16], [4, 16]]


def commands(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n##")[0]
    return [shlex.split(line)[1:] for line in section.splitlines() if line.startswith("python ")]


def image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)


def mask(path: Path, *ids: int) -> None:
    """Three rows of pixels: half a mask of each id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(np.array(ids, np.uint8), SIZE[0] * SIZE[1] // len(ids)).reshape(SIZE)).save(path)


def patterns(root: Path) -> None:
    for number, split in enumerate(("train",) * 5 + ("val",) * 2 + ("test",) * 2):
        image(root / f"city/cam/{split}/{number}.jpg", number)
        mask(root / f"city/ids/{split}/{number}_ids.png", 0, 1)


def camvid(root: Path) -> None:
    for number, split in enumerate(("train",) * 5 + ("val",) * 2 + ("test",) * 2):
        image(root / f"CamVid/{split}/{number}.png", number)
        mask(root / f"CamVid/{split}annot/{number}.png", 0, 3, 8, 11)


def voc(root: Path) -> None:
    for number in range(8):
        image(root / f"VOC2012/JPEGImages/2007_{number}.jpg", number)
        for kind in ("SegmentationClass", "SegmentationObject"):
            mask(root / f"VOC2012/{kind}/2007_{number}.png", 0, 15, 255)
    (root / "VOC2012/ImageSets/Segmentation").mkdir(parents=True)
    for split, numbers in {"train": "01234", "val": "56", "trainval": "0123456"}.items():
        lines = "".join(f"2007_{number}\n" for number in numbers)
        (root / f"VOC2012/ImageSets/Segmentation/{split}.txt").write_text(lines)


def cityscapes(root: Path) -> None:
    for number in range(8):
        place = f"train/city{number % 3}" if number < 6 else "val/city9"
        image(root / f"cityscapes/leftImg8bit/{place}/{number}_leftImg8bit.png", number)
        for kind in ("labelIds", "color", "instanceIds"):
            mask(root / f"cityscapes/gtFine/{place}/{number}_gtFine_{kind}.png", 0, 7, 23)


def labelme(root: Path) -> None:
    for number in range(8):
        image(root / f"labelme/{number}.jpg", number)
        shapes = [
            {"label": "road", "points": [[0, 16], [47, 31]], "shape_type": "rectangle"},
            {"label": "car", "points": CAR, "shape_type": "polygon"},
        ]
        content = {"imagePath": f"{number}.jpg", "imageHeight": SIZE[0], "imageWidth": SIZE[1], "shapes": shapes}
        (root / f"labelme/{number}.json").write_text(json.dumps(content))


def coco(root: Path) -> None:
    (root / "coco/annotations").mkdir(parents=True)
    for split, count in {"train": 6, "val": 2}.items():
        for number in range(count):
            image(root / f"coco/{split}2017/{split}{number}.jpg", number + 10 * count)
        content = {
            "images": [
                {"id": n, "file_name": f"{split}{n}.jpg", "height": SIZE[0], "width": SIZE[1]} for n in range(count)
            ],
            "categories": [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}],
            "annotations": [
                {"id": 2 * n + category, "image_id": n, "category_id": category, "segmentation": outline}
                for n in range(count)
                for category, outline in (
                    (1, {"size": SIZE, "counts": [768, 768]}),
                    (2, [[4, 8, 20, 8, 20, 16, 4, 16]]),
                )
            ],
        }
        (root / f"coco/annotations/instances_{split}2017.json").write_text(json.dumps(content))


DATASETS = {
    "Other folders and names": (patterns, ["sky", "road", "car"]),
    "CamVid": (camvid, ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]),
    "PASCAL VOC, and CVAT's export": (voc, None),
    "Cityscapes": (cityscapes, None),
    "LabelMe": (labelme, ["background", "car", "road"]),
    "COCO": (coco, ["background", "road", "car"]),
}  # fmt: skip


@pytest.fixture(params=DATASETS)
def downloaded(request, tmp_path):
    """A tiny dataset in its layout, in the working directory; the commands and the classes."""
    make, classes = DATASETS[request.param]
    make(tmp_path)
    found = commands(request.param)
    assert found, request.param
    return found, classes


@pytest.mark.slow
def test_the_first_command_trains_and_is_evaluated(run_command, downloaded):
    (name, *typed), classes = downloaded[0][0], downloaded[1]
    answer = run_command(name.removesuffix(".py"), *typed, *QUICK)
    assert answer.code == 0, answer.err
    (scores,) = (answer.folder / "evaluation").glob("*/scores.json")
    found = [each["name"] for each in json.loads(scores.read_text())["classes"]]
    assert classes is None or found == classes


def test_every_command_finds_its_frames(downloaded, tmp_path, monkeypatch):
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from entry.builders.modules import build_datamodule
    from entry.cli.overrides import with_quotes
    from entry.config.resolve import resolved
    from entry.request import PROJECT, Request

    monkeypatch.chdir(tmp_path)
    OmegaConf.register_new_resolver("project", lambda path: str(PROJECT / path), replace=True)
    for _, *typed in downloaded[0]:
        overrides = [with_quotes(word) for word in (*typed, *QUICK)]
        with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
            request = Request(compose("train", overrides), tuple(overrides), tmp_path / "runs", folder_was_typed=False)
        module = build_datamodule(resolved(request))
        module.prepare_training()
        assert not module.skipped
        assert len(module.table) > 4
