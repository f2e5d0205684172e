"""Candidates for label errors: only of samples that a run was not fitted to, and with what was planted first."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.image_folder import ImageFolderDataModule
from datamodules.mask_folder import MaskFolderDataModule
from entry.errors import RequestError
from entry.label_errors import label_error_candidates
from settings.data import DataSettings
from tests.conftest import COLOURS, make_image_folder, make_mask_folder

CLASSES = ["sky", "road", "car"]


def data_of(root, tmp_path, **keys):
    common = {
        "name": "toy",
        "split": {"train": 0.7, "val": 0.1, "test": 0.2},
        "image_size": (32, 48),
        "batch_size": 4,
        "eval_batch_size": 4,
    }
    return DataSettings(**common | {"root": str(root), "cache_dir": str(tmp_path / "cache"), "split_by": "sample"} | keys)  # fmt: skip


@pytest.fixture
def frames(tmp_path):
    """Frames of which one has a car that is labelled road."""
    root = make_mask_folder(tmp_path / "streets")
    mask = np.array(Image.open(root / "masks/01.png"))
    right = mask.copy()
    mask[mask == 2] = 1
    Image.fromarray(mask).save(root / "masks/01.png")
    module = MaskFolderDataModule(data_of(root, tmp_path, classes=CLASSES))
    module.find_samples()
    shutil.copytree(root / "masks", tmp_path / "predicted")
    Image.fromarray(right).save(tmp_path / "predicted/01.png")
    return module, tmp_path / "predicted"


@pytest.fixture
def images(tmp_path):
    module = ImageFolderDataModule(data_of(make_image_folder(tmp_path / "pictures"), tmp_path))
    module.find_samples()
    return module


def make_run(folder, split):
    """A run's configuration and split, of samples by their names."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    with (folder / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("sample", "group", "target", "split"), *((name, name, "", where) for name, where in split.items())]
        )
    return folder


def write_masks(run, split, masks, names, classes=CLASSES):
    write_classes(run / f"evaluation/{split}", classes)
    for name in names:
        target = run / f"evaluation/{split}/predictions/ids/{Path(name).stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(masks / target.name, target)


def write_classes(folder, classes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(json.dumps({"classes": [{"name": name} for name in classes]}))


def write_images(run, split, rows, classes=("blue", "green", "red")):
    """The evaluation of images: name -> target, prediction, probability of the prediction and of the target."""
    folder = run / f"evaluation/{split}"
    write_classes(folder, classes)
    target, prediction, probability, own = (np.array(column) for column in zip(*rows.values(), strict=True))
    np.savez(folder / "per_sample.npz", sample=list(rows), target=target, prediction=prediction, probability=probability, loss=-np.log(own))  # fmt: skip
    return run


def test_a_folder_of_masks(frames):
    module, masks = frames
    errors = label_error_candidates(module, [masks])
    (car,) = errors.candidates
    assert (Path(car.sample).stem, car.true, car.predicted) == ("01", "road", "car")
    # The car is 8×12, between the rows that are near the sky above and the void below.
    assert (car.pixels, car.box) == (96, (18, 18, 12, 8))
    assert car.probability is None
    assert (errors.judged, errors.left_out) == (20, 0)


def test_of_a_folder_with_some_masks_the_other_frames_are_left_out(frames):
    module, masks = frames
    for path in masks.glob("1*.png"):
        path.unlink()
    errors = label_error_candidates(module, [masks])
    assert (len(errors.candidates), errors.judged, errors.left_out) == (1, 10, 10)


def test_a_run_judges_only_what_it_was_not_fitted_to(frames, tmp_path):
    module, masks = frames
    names = {Path(name).stem: name for name in module.names}
    where = dict.fromkeys(names.values(), "train") | {names["03"]: "val"}
    run = make_run(tmp_path / "a", where | {names[key]: "test" for key in ("02", "01", "04")})
    for split in ("train", "val", "test"):  # predictions exist of all splits
        write_masks(run, split, masks, names.values())
    errors = label_error_candidates(module, [run])
    assert [Path(each.sample).stem for each in errors.candidates] == ["01"]
    assert (errors.judged, errors.left_out) == (3, 17)

    trained = make_run(tmp_path / "b", where | {names["05"]: "test"})  # on 01, too
    write_masks(trained, "test", masks, names.values())
    errors = label_error_candidates(module, [trained])
    assert (errors.candidates, errors.judged, errors.left_out) == ([], 1, 19)

    both = label_error_candidates(module, [trained, run])
    assert (len(both.candidates), both.judged, both.left_out) == (1, 4, 16)


def test_val_is_judged_where_a_piece_of_train_selected(frames, tmp_path):
    module, masks = frames
    names = module.names
    run = make_run(tmp_path / "a", {names[0]: "train", names[1]: "select", names[2]: "val", names[3]: "val"})
    for split in ("train", "select", "val"):
        write_masks(run, split, masks, names)
    assert label_error_candidates(module, [run]).judged == 2


def test_images_of_two_folds(images, tmp_path):
    names = images.names
    classes = [names[i].split("/")[0] for i in range(len(names))]
    target = [sorted(COLOURS).index(each) for each in classes]
    rows = {name: (true, true, 0.8, 0.8) for name, true in zip(names, target, strict=True)}
    rows[names[0]] = (0, 2, 0.95, 0.01)  # confident
    rows[names[2]] = (0, 1, 0.9, 0.05)
    rows[names[4]] = (0, 1, 0.5, 0.4)  # less than the mean of 0.8 that class 1 has for its own
    halves = names[::2], names[1::2]
    runs = []
    for i, half in enumerate(halves):
        split = {name: "test" if name in half else "train" for name in names}
        runs.append(write_images(make_run(tmp_path / f"fold{i}", split), "test", {name: rows[name] for name in half}))
    errors = label_error_candidates(images, runs)
    found = [(each.sample, each.true, each.predicted, each.probability) for each in errors.candidates]
    assert found == [(names[0], "blue", "red", 0.95), (names[2], "blue", "green", 0.9)]
    assert errors.candidates[0].score > errors.candidates[1].score > 0
    assert errors.candidates[0].pixels is errors.candidates[0].box is None
    assert (errors.judged, errors.left_out) == (len(names), 0)
    errors = label_error_candidates(images, runs[1:])
    assert (errors.candidates, errors.judged, errors.left_out) == ([], len(halves[1]), len(halves[0]))


def test_what_makes_no_sense_is_refused(frames, images, tmp_path):
    module, masks = frames
    run = make_run(tmp_path / "a", dict.fromkeys(module.names, "train"))
    write_masks(run, "train", masks, module.names)
    with pytest.raises(RequestError, match=r"none of the runs .* split=test report\.predictions=true"):
        label_error_candidates(module, [run])
    with pytest.raises(RequestError, match="predicted is no run folder; give run folders, or one folder of masks"):
        label_error_candidates(module, [run, masks])
    with pytest.raises(RequestError, match="predicted is no run folder; images with classes are judged by run folders"):
        label_error_candidates(images, [masks])
    with pytest.raises(DatasetError, match="there is no such folder"):
        label_error_candidates(module, [tmp_path / "nowhere"])
    (tmp_path / "other").mkdir()
    Image.new("L", (48, 32)).save(tmp_path / "other/strange.png")
    with pytest.raises(RequestError, match="none of its masks is called as a frame of the data, such as "):
        label_error_candidates(module, [tmp_path / "other"])
    run = make_run(tmp_path / "b", dict.fromkeys(module.names, "test"))
    write_masks(run, "test", masks, module.names, ["sky", "car", "road"])
    with pytest.raises(RequestError, match=r"has other classes than the data, or in another order \(sky, car, road"):
        label_error_candidates(module, [run])
    Image.fromarray(np.full((32, 48), 9, np.uint8)).save(masks / "00.png")
    with pytest.raises(DatasetError, match=r"00\.png"):
        label_error_candidates(module, [masks])


def test_images_of_other_classes_are_refused(images, tmp_path):
    run = make_run(tmp_path / "a", dict.fromkeys(images.names, "test"))
    write_images(run, "test", {images.names[0]: (0, 0, 1.0, 1.0)}, ("a", "b"))
    with pytest.raises(RequestError, match=r"has other classes .* \(a, b, … and blue, green, red, …\)"):
        label_error_candidates(images, [run])
