"""What the tests of external models share: streets with masks in IDD's and in PASCAL VOC's classes, and how they are typed."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from label_spaces.catalogue import load

LEVEL3, VOC = load("idd_level3"), load("voc21")
DATA = (
    "data=mask_folder",
    "data.num_workers=0",
    "data.image_size=[32,48]",
    "data.batch_size=4",
    "data.eval_batch_size=2",
)
TRAINER = ("trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "logger=csv")
MODEL = "model=deeplabv3_mobilenet_v3_large"
# Rows of a street: what IDD calls them, and what a perfect predictor predicts in PASCAL VOC's classes.
BANDS = {"sky + fallback background": "background", "road": "background", "car": "car", "person + animal": "person",
         "rider": "person", "autorickshaw": "background", "bus": "bus", None: "border"}  # fmt: skip
ROWS = (8, 8, 4, 3, 2, 3, 2, 2)
HEIGHT, WIDTH = 32, 48


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """One set of pictures twice: with masks of idd_level3's ids, and with masks of voc21's."""
    root = tmp_path_factory.mktemp("streets")
    ours = np.array([LEVEL3.classes.index(name) if name else 255 for name in BANDS], np.uint8).repeat(ROWS)
    theirs = np.array(
        [VOC.classes.index(name) if name in VOC.classes else 255 for name in BANDS.values()], np.uint8
    ).repeat(ROWS)
    for folder in ("idd/images", "idd/masks", "voc/masks"):
        (root / folder).mkdir(parents=True)
    for i in range(20):
        draws = np.random.default_rng(i)
        picture = draws.normal(np.arange(0, 256, 32).repeat(ROWS)[:, None, None], 12, (HEIGHT, WIDTH, 3))
        picture = picture.clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(root / "idd/images" / f"{i:02}.png")
        for kind, mask in (("idd", ours), ("voc", theirs)):
            Image.fromarray(np.tile(mask[:, None], (1, WIDTH))).save(root / kind / "masks" / f"{i:02}.png")
    (root / "voc/images").symlink_to(root / "idd/images")
    return root


@pytest.fixture
def masks(streets, tmp_path):
    """A folder of predictions that are perfect in VOC's classes."""
    return shutil.copytree(streets / "voc/masks", tmp_path / "predicted")


def idd(streets, space="idd_level3"):
    return (*DATA, f"data.root={streets / 'idd'}", f"data.label_space={space}")


def scored(answer, split="test"):
    assert answer.code == 0, answer.err
    return json.loads((answer.folder / "evaluation" / split / "scores.json").read_text())


def check_is_no_run(command, folder):
    """Evaluating, predicting or resuming: a folder that has no checkpoint is refused, and nothing in it changes."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for name, *typed in (
        ("evaluate", "run="),
        ("predict", "source=.", "run="),
        ("train", "trainer.max_epochs=2", "resume="),
    ):
        answer = command(name, *typed[:-1], f"{typed[-1]}{folder.absolute()}")
        assert (answer.code, "Traceback" in answer.err) == (2, False)
        assert (
            "holds scores of a model or masks that were not made here, and no checkpoint. Evaluate these again with"
            in answer.err
        )
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
