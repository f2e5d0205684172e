"""docs/OWN_DATA.md: the commands on ids, colours and pixels of one's own, typed on tiny data as a reader would."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from label_spaces.catalogue import load
from tests.conftest import Answer, make_mask_folder
from tests.datamodules.files.test_images_bit_depth import png

PAGE = (Path(__file__).resolve().parents[2] / "docs/OWN_DATA.md").read_text(encoding="utf-8")
QUICK = ("trainer.max_epochs=1", "trainer.limit_batches=2", "trainer.threads=1", "trainer=cpu", "logger=csv", "data.image_size=[32,48]",
         "data.num_workers=0", "data.batch_size=4", "model.weights=none", "report.train_eval=false")  # fmt: skip
COLOURS = np.array([[128, 64, 128], [70, 130, 180], [0, 0, 0]], np.uint8)
CITY = load("cityscapes_labels")


def commands(heading: str) -> list[list[str]]:
    """The words of each command in a section, without the interpreter."""
    section = re.split(r"\n##+ ", PAGE.split(f" {heading}\n")[1])[0]
    return [shlex.split(line)[1:] for line in section.splitlines() if line.startswith("python ")]


def ids_of(path: Path) -> np.ndarray:
    """Of `make_mask_folder`: 0 sky, 1 road, 2 car, 255."""
    return np.array(Image.open(path))


def make_masks(root: Path, rewrite: Callable[[Path, np.ndarray], None]) -> Path:
    """Frames whose masks `rewrite` writes instead of `make_mask_folder`'s."""
    for path in sorted((make_mask_folder(root, count=10) / "masks").iterdir()):
        ids = ids_of(path)
        path.unlink()
        rewrite(path, ids)
    return root


def paint(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(COLOURS[np.minimum(ids, 2)]).save(path)


@pytest.fixture
def typed(run_command: Callable[..., Answer]) -> Callable[..., Answer]:
    def call(words: list[str], *further: str) -> Answer:
        return run_command(
            words[0].removesuffix(".py"), *words[1:], *(QUICK if words[0] == "train.py" else ()), *further
        )

    return call


def check(answer: Answer, classes: list[str]) -> dict:
    assert answer.code == 0, answer.err
    (place,) = (answer.folder / "evaluation").iterdir()
    found = json.loads((place / "scores.json").read_text())
    assert [each["name"] for each in found["classes"]] == classes
    return found


def test_a_class_dict(typed, tmp_path):
    root = make_masks(tmp_path / "colours", paint)
    (root / "class_dict.csv").write_text("name,r,g,b\nroad,128,64,128\nsky,70,130,180\nVoid,0,0,0\n")
    (command,) = commands("Colour masks: class_dict.csv")
    check(typed(command), ["road", "sky"])


@pytest.mark.slow
def test_a_labelmap(typed, tmp_path):
    root = make_masks(tmp_path / "cvat", paint)
    (root / "images").rename(root / "JPEGImages")
    (root / "masks").rename(root / "SegmentationClass")
    shutil.copytree(root / "SegmentationClass", root / "SegmentationObject")
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\nsky:70,130,180::\n"
    )
    (command,) = commands("CVAT: labelmap.txt")
    check(typed(command), ["road", "sky"])


@pytest.mark.slow
def test_binary_masks(typed, tmp_path):
    make_masks(tmp_path / "binary", lambda path, ids: Image.fromarray((ids == 1).astype(np.uint8) * 255).save(path))
    (command,) = commands("Binary masks")
    answer = typed(command)
    check(answer, ["background", "road"])
    assert "note: Masks hold 0 and 255 only, which are read as background and road" in answer.out


@pytest.mark.slow
def test_arrays(typed, tmp_path):
    make_masks(tmp_path / "arrays", lambda path, ids: np.save(path.with_suffix(".npy"), ids.astype(np.int64)))
    (command,) = commands("Numpy arrays")
    check(typed(command), ["sky", "road", "car"])


@pytest.mark.slow
def test_ids_of_no_class(typed, tmp_path):
    make_masks(tmp_path / "camvid", lambda path, ids: Image.fromarray(np.where(ids == 255, 11, ids)).save(path))
    (command,) = commands("Ids of no class")
    check(typed(command), ["sky", "road", "car"])
    refused = typed([word for word in command if "void_ids" not in word])
    assert refused.code == 2
    assert "type data.void_ids=[11] if 11 is no class" in refused.err


@pytest.mark.slow
def test_label_ids_of_cityscapes(typed, tmp_path):
    numbers = np.zeros(256, np.uint8)
    numbers[:3] = [CITY.ids[CITY.classes.index(name)] for name in ("sky", "road", "car")]
    root = make_masks(tmp_path / "city", lambda path, ids: Image.fromarray(numbers[ids]).save(path))
    train, evaluate = commands("Ids of Cityscapes")
    check(typed(train), list(CITY.classes))
    shutil.copytree(root / "masks", tmp_path / "labels")
    found = check(typed(evaluate, "trainer=cpu"), list(CITY.classes))
    assert found["miou_present"] == found["accuracy"] == 1.0


def test_images_of_12_bit(typed, tmp_path):
    for name, grey in (("dark", 800), ("light", 3000)):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for number in range(12):
            greys = np.random.default_rng(number).integers(grey - 300, grey + 300, (20, 20))
            (tmp_path / "deep" / name / f"{number}.png").write_bytes(png(greys))
    (command,) = commands("Images of more than 8 bits")
    refused = typed([word for word in command if "bit_depth" not in word])
    assert refused.code == 2
    assert "type data.bit_depth=12 where white is 4095" in refused.err
    check(typed(command), ["dark", "light"])


def test_every_section_on_ids_has_commands():
    """Each is typed above."""
    part = PAGE.split("### Colour masks")[1].split("\n## Images of more than 8 bits")[0]
    assert part.count("\npython ") == 7
