"""What baselines are fitted to: the same few training samples everywhere, and the evaluated samples in their order."""

import json
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datamodules.crop_rules import CropRules
from datamodules.image_folder import ImageFolderDataModule
from datamodules.mask_folder import MaskFolderDataModule
from datamodules.object_crops import ObjectCropDataModule
from datamodules.splits.sample_table import order_hash
from entry.evaluation import baselines
from metrics.baselines import baseline_scores
from run_files import read_csv
from settings.data import DataSettings
from tests.conftest import make_image_folder
from tests.test_train import QUICK


def settings(root, **changes):
    keys = {
        "name": "toy", "root": str(root), "split": {"train": 0.6, "val": 0.2, "test": 0.2}, "image_size": (16, 16),
        "cache_dir": str(root.parent / "cache"), "eval_batch_size": 8, "cache": False,
    }  # fmt: skip
    return DataSettings(**keys | changes)


def make_frames(root, sizes):
    """Ten drives of two grey frames, each with a grey box for each label; only the boxes' sizes tell labels apart."""
    for drive in range(10):
        for frame in range(2):
            objects = []
            for number, (label, (width, height)) in enumerate(sizes.items()):
                left, top, right, bottom = 100 * number, 5, 100 * number + width + frame, 5 + height + drive
                objects.append(
                    {"label": label, "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]]}
                )
            for kind in ("leftImg8bit", "gtFine"):
                (root / kind / f"train/{drive:03}").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (300, 120), (90, 90, 90)).save(
                root / f"leftImg8bit/train/{drive:03}/{frame}_leftImg8bit.png"
            )
            content = {"imgWidth": 300, "imgHeight": 120, "objects": objects}
            (root / f"gtFine/train/{drive:03}/{frame}_gtFine_polygons.json").write_text(json.dumps(content))
    return root


def test_the_size_of_a_box_tells_what_a_grey_picture_does_not(tmp_path):
    root = make_frames(tmp_path / "idd", {"person": (20, 60), "car": (60, 30), "traffic sign": (15, 15)})
    rules = CropRules(least_side=8, train=3, train_groups=2, evaluation=1)
    data = ObjectCropDataModule(settings(root, split_by="group"), rules=rules)
    data.prepare_training()
    asked = data.indices("test")[::-1][:7]
    target, features = baselines.baseline_data(data, "test", asked)
    truth = np.array([data.label_space.classes.index(data.table.samples[index].target) for index in asked])
    scores = baseline_scores(target, truth, 3, features)
    assert list(scores) == ["majority", "mean_colour", "box_size"]
    assert scores["box_size"]["accuracy"] == 1.0
    assert scores["mean_colour"]["accuracy"] == scores["majority"]["accuracy"] < 0.6


def test_only_so_many_are_fitted_and_always_the_same(tmp_path, monkeypatch):
    root = make_image_folder(tmp_path / "pictures")
    monkeypatch.setattr(baselines, "MOST_FITTED", 7)

    def fitted(**changes):
        seen = []

        class Watched(ImageFolderDataModule):
            def baseline_features(self, part, indices):
                seen.append([self.table.samples[index].name for index in indices])
                return super().baseline_features(part, indices)

        data = Watched(settings(root, **changes))
        data.prepare_training()
        target, features = baselines.baseline_data(data, "val", data.indices("val"))
        assert [data.label_space.classes[index] for index in target] == [name.split("/")[0] for name in seen[0]]
        assert [len(rows) for rows in features["mean_colour"]] == [7, len(data.indices("val"))]
        return seen[0]

    assert len(set(fitted())) == 7
    assert fitted() == fitted(batch_size=4)


@pytest.mark.parametrize("asked", [None, 1, 3, 50])
def test_pixel_baselines_do_not_depend_on_how_much_of_train_is_evaluated(mask_folder, tmp_path, asked):
    keys = {"split": {"train": 0.6, "val": 0.2, "test": 0.2}, "classes": ["sky", "road", "car"], "image_size": (32, 48)}
    made = settings(mask_folder, cache_dir=str(tmp_path), cache=True, train_eval_samples=asked, **keys)
    data = MaskFolderDataModule(made)
    data.prepare_training()
    found, grey = baselines.pixel_baselines(data, "test", data.indices("test"))
    # The frames of train that come first by the hashes of their names, as many as val has.
    names = data.names
    learnt = sorted(data.indices("train"), key=lambda index: order_hash(0, names[index]))[: len(data.indices("val"))]

    def pixels(indices):
        number = [Path(names[index]).stem for index in indices]
        images = np.concatenate(
            [np.asarray(Image.open(mask_folder / f"images/{each}.png")).reshape(-1, 3) for each in number]
        )
        masks = np.concatenate([np.asarray(Image.open(mask_folder / f"masks/{each}.png")).ravel() for each in number])
        return [tuple(colour) for colour in (images // 16).tolist()], masks.tolist()

    votes = defaultdict(Counter)
    for colour, label in zip(*pixels(learnt), strict=True):
        if label < 3:
            votes[colour][label] += 1
    commonest = sum(votes.values(), Counter())
    predicted = {colour: min(seen, key=lambda label: (-seen[label], label)) for colour, seen in votes.items()}
    rest = min(commonest, key=lambda label: (-commonest[label], label))
    colours, truth = pixels(data.indices("test"))
    right = [predicted.get(colour, rest) == label for colour, label in zip(colours, truth, strict=True) if label < 3]
    assert found["colour_table"]["accuracy"] == pytest.approx(np.mean(right))
    files = [
        Image.open(mask_folder / "images" / Path(names[index]).name).convert("L") for index in data.indices("test")
    ]
    assert grey == pytest.approx([np.asarray(file).mean() for file in files], abs=0.6)  # Pillow's are whole numbers


def test_frames_without_any_to_learn_from_have_a_brightness_and_no_baselines(mask_folder, tmp_path):
    split = tmp_path / "split.csv"
    rows = "".join(f"images/{i:02}.png,{i},val\n" for i in range(20))
    split.write_text("sample,group,split\n" + rows)
    keys = {"split": str(split), "classes": ["sky", "road", "car"], "image_size": (32, 48)}
    data = MaskFolderDataModule(settings(mask_folder, cache_dir=str(tmp_path), **keys))
    data.find_samples()
    found, grey = baselines.pixel_baselines(data, "val", data.indices("val")[:3])
    assert (found, len(grey)) == ({}, 3)


@pytest.fixture(scope="module")
def run(run_shared_command, tmp_path_factory):
    """A run on pictures whose colours overlap, so that no baseline is perfect."""
    root = make_image_folder(
        tmp_path_factory.mktemp("pictures") / "alike",
        per_class=30,
        side=16,
        classes={"dull": (120, 120, 120), "dun": (121, 120, 120)},
    )
    answer = run_shared_command("train", "data=image_folder", f"data.root={root}", *QUICK, "trainer.max_epochs=1")
    assert answer.code == 0, answer.err
    return root, answer


def test_scores_have_what_sklearn_reaches_on_the_mean_colour(run):
    root, answer = run
    rows = read_csv(answer.folder / "split.csv")

    def part(split):
        chosen = [row for row in rows if row["split"] == split]
        colours = [np.asarray(Image.open(root / row["sample"]), dtype=float).mean((0, 1)) for row in chosen]
        return np.array(colours), [row["target"] for row in chosen]

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(*part("train"))
    colours, truth = part("test")
    predicted = model.predict(colours)
    scores = json.loads((answer.folder / "evaluation" / "test" / "scores.json").read_text())
    assert list(scores["baselines"]) == ["majority", "mean_colour"]
    expected = {
        "accuracy": accuracy_score(truth, predicted),
        "f1_macro": f1_score(truth, predicted, average="macro"),
        "f1_weighted": f1_score(truth, predicted, average="weighted"),
    }
    assert scores["baselines"]["mean_colour"] == pytest.approx(expected)
    assert 0.5 < expected["accuracy"] < 1.0
    assert f"(baseline mean_colour: accuracy {expected['accuracy']:.3f})" in answer.out


def test_evaluating_again_repeats_them_also_where_only_some_are_evaluated(run_command, run, tmp_path):
    folder = run[1].folder
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))
    before = (copy / "evaluation" / "test" / "scores.json").read_bytes()
    assert run_command("evaluate", f"run={copy}", "data.cache=false").code == 0
    assert (copy / "evaluation" / "test" / "scores.json").read_bytes() == before
    assert run_command("evaluate", f"run={copy}", "trainer.limit_batches=1", "data.eval_batch_size=5").code == 0
    scores = json.loads((copy / "evaluation" / "test" / "scores.json").read_text())
    assert scores["n_seen"] == 5
    assert scores["baselines"]["mean_colour"]["accuracy"] * 5 == pytest.approx(
        round(scores["baselines"]["mean_colour"]["accuracy"] * 5)
    )


def test_plain_colours_need_no_network(run_command, image_folder):
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, "trainer.max_epochs=1")
    scores = json.loads((answer.folder / "evaluation" / "test" / "scores.json").read_text())
    assert scores["baselines"]["mean_colour"] == {"accuracy": 1.0, "f1_macro": 1.0, "f1_weighted": 1.0}
