"""explore.py on tiny data of each kind: what is there, what is wrong with it, and which requests make no sense."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.synthetic.generate import generate
from tests.conftest import make_image_folder, make_mask_folder

OF_MASKS = ("data=mask_folder", "data.classes=[sky,road,car]")


def content(answer):
    assert answer.code == 0, answer.err
    return json.loads((answer.folder / "explore.json").read_text())


def kinds(found):
    return [each["kind"] for each in found["findings"]]


def test_masks(run_command, mask_folder):
    answer = run_command("explore", *OF_MASKS, f"data.root={mask_folder}", "aug=flip_rotate")
    found = content(answer)
    masks = [np.asarray(Image.open(path)) for path in sorted((mask_folder / "masks").iterdir())]
    assert {each["name"]: each["images"] for each in found["splits"]} == {"train": 14, "val": 2, "test": 4}
    for index, each in enumerate(found["classes"]):
        assert sum(part["count"] for part in each["splits"].values()) == sum(int((mask == index).sum()) for mask in masks)  # fmt: skip
        upper = sum(int((mask[:16] == index).sum()) for mask in masks)
        assert each["upper"] == upper / sum(int((mask == index).sum()) for mask in masks)
    assert found["void"] == 2 / 32
    assert found["augmentation"]["upside_down"] > 0
    assert "upside_down" in kinds(found)
    assert (answer.folder / "explore.html").exists()
    assert "/explore_" not in answer.folder.name
    assert "_explore_mask_folder" in answer.folder.name
    assert answer.out.splitlines()[0] == "mask_folder: 20 images (train 14, val 2, test 4); 3 classes"


def test_label_errors(run_command, tmp_path):
    root = make_mask_folder(tmp_path / "streets")
    shutil.copytree(root / "masks", tmp_path / "predicted")
    wrong = np.asarray(Image.open(root / "masks" / "07.png")).copy()
    wrong[:9] = 1  # the top of the sky
    Image.fromarray(wrong).save(root / "masks" / "07.png")
    typed = (*OF_MASKS, f"data.root={root}", "report.html=false")
    found = content(run_command("explore", *typed, f"predictions={tmp_path / 'predicted'}"))
    assert (found["label_errors"]["judged"], found["label_errors"]["left_out"]) == (20, 0)
    assert [(each["sample"], each["true"], each["predicted"]) for each in found["label_errors"]["candidates"]] == [
        ("images/07.png", "road", "sky")
    ]
    assert "label_errors" in kinds(found)


def test_images_and_broken_files_and_copies(run_command, tmp_path):
    root = make_image_folder(tmp_path / "pictures")
    (root / "red" / "broken.png").write_bytes(b"nothing")
    shutil.copy(root / "red" / "red_000.png", root / "blue" / "copy.png")
    found = content(run_command("explore", "data=image_folder", f"data.root={root}", "report.html=false"))
    assert [each["name"] for each in found["classes"]] == ["blue", "green", "red"]
    assert found["skipped"][0]["sample"] == "red/broken.png"
    assert found["equal"][0]["samples"] == ["blue/copy.png", "red/red_000.png"]
    assert found["equal"][0]["classes"] == ["blue", "red"]
    assert kinds(found)[:2] == ["unusable", "equal_apart"]


def test_a_pipe_is_named_and_not_waited_for(run_command, tmp_path, monkeypatch):
    read = Path.read_bytes

    def checked(path: Path) -> bytes:
        assert not path.is_fifo(), "reading it would not end"
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", checked)
    root = make_image_folder(tmp_path / "pictures")
    os.mkfifo(root / "red" / "pipe.png")
    answer = run_command("explore", "data=image_folder", f"data.root={root}")
    assert content(answer)["skipped"][0]["sample"] == "red/pipe.png"
    assert "not a regular file" in (answer.folder / "explore.html").read_text()


def test_images_without_truth(run_command, tmp_path):
    (tmp_path / "frames" / "train").mkdir(parents=True)
    for i in range(5):
        Image.new("RGB", (20 + i, 10), (50 * i, 0, 0)).save(tmp_path / "frames" / "train" / f"{i}.png")
    for typed in (("data=image_folder",), OF_MASKS):
        answer = run_command("explore", *typed, f"data.root={tmp_path / 'frames'}")
        found = content(answer)
        assert found["splits"] == [{"name": "train", "images": 5, "groups": 5, "without_truth": 5}]
        assert kinds(found)[0] == "obstacle"
        assert found["sizes"]["different"] == 5
        assert not (answer.folder / "config.yaml").exists()


def test_frames_of_drives_without_truth(run_command, tmp_path):
    for name in ("train/a/0", "train/a/1", "val/b/0"):
        path = tmp_path / f"idd/leftImg8bit/{name}_leftImg8bit.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10), (90, 90, len(name) + int(name[-1]))).save(path)
    found = content(run_command("explore", "data=idd", f"data.root={tmp_path / 'idd'}", "report.html=false"))
    assert found["splits"] == [
        {"name": "train", "images": 2, "groups": 1, "without_truth": 2},
        {"name": "val", "images": 1, "groups": 1, "without_truth": 1},
    ]


def test_a_page_without_pictures(run_command, mask_folder):
    answer = run_command("explore", *OF_MASKS, f"data.root={mask_folder}", "report.images=false")
    assert "<img" not in (answer.folder / "explore.html").read_text()
    assert content(answer)["augmentation"] is None


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["data=nowhere"], "there is no such option"),
        (["data=image_folder", "data.root=missing"], "data.root="),
        (["data=image_folder"], "data.root is missing"),
        (["data=image_folder", "data.root=.", "task=segmentation"], "task=segmentation: data=image_folder serves classification only"),
        (["task=classification", "model=deeplabv3_resnet50"], "model=deeplabv3_resnet50 does segmentation. Leave one of them out"),
        (["data=image_folder", "data.root=."], "data.root"),
        (["predictions=nowhere"], "predictions="),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(run_command, tmp_path, typed, message):
    answer = run_command("explore", *typed)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists()


def test_keys_without_effect_are_noted(run_command, mask_folder):
    answer = run_command("explore", *OF_MASKS, f"data.root={mask_folder}", "optimizer.lr=0.1", "report.html=false")
    assert "note: without effect on exploring data: optimizer.lr" in answer.out


def test_frames_and_crops_of_streets(run_command, tmp_path):
    root = tmp_path / "streets"
    generate(root, seed=0, drives=16, frames_per_drive=3)
    typed = ["data=idd", f"data.root={root}", "report.html=false"]
    frames = content(run_command("explore", *typed))
    assert (frames["data"]["task"], frames["data"]["other_task"]) == ("segmentation", "classification")
    assert sum(each["groups"] for each in frames["splits"]) == 16
    crops = content(run_command("explore", *typed, "task=classification"))
    assert crops["data"]["unit"] == "images"
    objects = [each["objects"]["count"] for each in crops["classes"]]
    assert objects == [sum(part["count"] for part in each["splits"].values()) for each in crops["classes"]]
    assert content(run_command("explore", *typed, "model=custom_cnn"))["classes"] == crops["classes"]


def test_frames_of_a_mask_folder_with_a_test_that_has_no_masks(run_command, tmp_path):
    root = make_mask_folder(tmp_path / "streets", 12)
    for kind in ("images", "masks"):
        for i, path in enumerate(sorted((root / kind).iterdir())):
            split = ("train", "val", "test")[i % 3]
            (root / kind / split).mkdir(exist_ok=True)
            path.rename(root / kind / split / path.name)
    shutil.rmtree(root / "masks" / "test")
    found = content(run_command("explore", *OF_MASKS, f"data.root={root}", "data.split=folders"))
    assert {each["name"]: each["without_truth"] for each in found["splits"]}["test"] == 4
    assert sum(each["images"] for each in found["splits"]) == 12
