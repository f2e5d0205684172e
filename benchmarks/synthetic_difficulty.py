"""Difficulty of the embedded crops: accuracies of colour, size and thumbnails, and of the project's own networks.

    python -m benchmarks.synthetic_difficulty [--root data/synthetic_idd] [--seeds 3] [--epochs 30] [--runs FOLDER]

Prints a table of test accuracies of crops at 64 x 64 pixels, split 70/10/20 by drive and, for comparison, by sample.
Networks are trained by `train.py` from scratch, and the checkpoint that is scored was chosen on validation.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datamodules.crop_rules import CROP_CLASSES, CropRules, bounding_box, square
from datamodules.files.frame_pairs import find_frames
from datamodules.files.idd_polygons import polygon_file, read_annotation
from datamodules.object_crops import find_crops
from datamodules.splits.sample_table import SPLITS
from datamodules.splits.split import split_candidates
from datamodules.synthetic.generate import ensure
from settings.data import DataSettings

PROJECT = Path(__file__).resolve().parent.parent
SIDE = 64
# For the comparison of both networks: a large network needs augmentation and time.
LONG = ("scheduler=cosine", "aug=road")


@dataclass(frozen=True)
class Crops:
    """Crops (N, 64, 64, 3) uint8, the objects' boxes (N, 2) as width and height, targets (N,) and splits (N,)."""

    images: np.ndarray
    boxes: np.ndarray
    targets: np.ndarray
    splits: np.ndarray
    names: list[str]

    def part(self, split: str) -> np.ndarray:
        """Return the indices of the samples of a split."""
        return np.flatnonzero(self.splits == split)


def load(root: Path, split_by: str = "group") -> Crops:
    """Read every usable crop below `root` and split it as the data module does by default."""
    rules = CropRules()
    settings = DataSettings(
        name="synthetic_idd", split={"train": 0.7, "val": 0.1, "test": 0.2}, split_by=split_by,
        image_size=(SIDE, SIDE), cache_dir="unused", eval_batch_size=256,
    )  # fmt: skip
    table, _ = split_candidates(find_crops(root, find_frames(root), rules)[0], settings)

    @lru_cache(maxsize=2)
    def frame(name: str) -> tuple[np.ndarray, dict]:
        annotation = read_annotation(polygon_file(root, name))
        size = (annotation.height, annotation.width)
        image = cv2.cvtColor(cv2.imread(str(root / name)), cv2.COLOR_BGR2RGB)
        return image, {thing.index: bounding_box(thing, size) for thing in annotation.objects}

    images, boxes = [], []
    for sample in table.samples:
        name, index = sample.name.rsplit("#", 1)
        image, found = frame(name)
        box = found[int(index)]
        left, top, side = square(box, rules.margin, image.shape[:2])
        crop = image[top : top + side, left : left + side]
        images.append(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR))
        boxes.append((box.right - box.left, box.bottom - box.top))
    return Crops(
        images=np.stack(images),
        boxes=np.array(boxes),
        targets=np.array([CROP_CLASSES.index(sample.target) for sample in table.samples]),
        splits=np.array([sample.split for sample in table.samples]),
        names=[sample.name for sample in table.samples],
    )


def colour_histogram(images: np.ndarray) -> np.ndarray:
    """(N, 64) shares of 4 x 4 x 4 RGB bins."""
    bins = (images >> 6).astype(np.int64)
    code = (bins[..., 0] * 16 + bins[..., 1] * 4 + bins[..., 2]).reshape(len(images), -1)
    return np.stack([np.bincount(row, minlength=64) for row in code]) / code.shape[1]


def baselines(crops: Crops) -> dict[str, float]:
    """Return test accuracies of features without shape; of several classifiers of a feature, the best."""
    train, test = crops.part("train"), crops.part("test")
    mean = crops.images.reshape(len(crops.images), -1, 3).mean(axis=1)
    thumbnail = np.stack([cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA) for image in crops.images])
    size = np.column_stack([np.log(crops.boxes), crops.boxes.max(axis=1)])
    features = {
        "mean colour": mean,
        "box size": size,
        "colour histogram": np.sqrt(colour_histogram(crops.images)),
        "8x8 thumbnail": thumbnail.reshape(len(thumbnail), -1) / 255.0,
    }
    counts = np.bincount(crops.targets[train])
    scores = {"majority": float((crops.targets[test] == counts.argmax()).mean())}
    for name, values in features.items():
        classifiers = [make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.1))]
        if values.shape[1] <= 3:
            classifiers.append(make_pipeline(StandardScaler(), KNeighborsClassifier(25)))
        scores[name] = max(
            float(c.fit(values[train], crops.targets[train]).score(values[test], crops.targets[test]))
            for c in classifiers
        )
    return scores


def train(folder: Path, *overrides: str) -> float:
    """Return the test accuracy of `python train.py` with these overrides; a finished run in `folder` is only read."""
    scores = folder / "evaluation" / "test" / "scores.json"
    if not scores.exists():
        typed = (f"hydra.run.dir={folder}", "model.weights=none", "logger=csv", *overrides)
        subprocess.run([sys.executable, "train.py", *typed], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return float(json.loads(scores.read_text())["accuracy"])


def write_shuffled(crops: Crops, folder: Path, seed: int) -> Path:
    """Write the crops as train, val and test folders with a folder per class, the targets of train shuffled."""
    targets, chosen = crops.targets.copy(), crops.part("train")
    targets[chosen] = np.random.default_rng(seed).permutation(targets[chosen])
    for number, (image, target, split) in enumerate(zip(crops.images, targets, crops.splits, strict=True)):
        place = folder / split / CROP_CLASSES[target]
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{number:05d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


def networks(root: Path, runs: Path, crops: Crops, seeds: int, epochs: int) -> None:
    """Train and print the mean over the seeds and each score."""
    here, long = f"data.root={root.resolve()}", (*LONG, f"trainer.max_epochs={epochs}")
    typed = " ".join(long)
    with tempfile.TemporaryDirectory() as folder:
        shuffled = write_shuffled(crops, Path(folder), seed=0)
        data = ("data=image_folder", f"data.root={shuffled}", "data.split=folders")
        score = train(runs / "shuffled", *data)
    print(f"{'custom_cnn, shuffled targets':60} {score:.3f}", flush=True)
    for row, name, overrides in (
        ("custom_cnn", "plain", ()),
        ("custom_cnn data.split_by=sample", "sample", ("data.split_by=sample",)),
        (f"custom_cnn {typed}", f"custom_cnn-{epochs}", long),
        (f"resnet18 {typed}", f"resnet18-{epochs}", ("model=resnet18", *long)),
    ):
        scores = [train(runs / f"{name}-{seed}", here, f"seed={seed}", *overrides) for seed in range(seeds)]
        each = " ".join(f"{score:.3f}" for score in scores)
        print(f"{row:60} {np.mean(scores):.3f}  ({each})", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data/synthetic_idd"))
    parser.add_argument("--runs", type=Path, help="folder of the runs; a finished one is not repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30, help="of the comparison of the two networks")
    options = parser.parse_args()
    streets = ensure(options.root)
    crops = load(streets)
    counts = {split: len(crops.part(split)) for split in SPLITS}
    shares = np.bincount(crops.targets, minlength=len(CROP_CLASSES)) / len(crops.targets)
    print(f"{len(crops.targets)} crops {counts}")
    print(", ".join(f"{name} {share:.1%}" for name, share in zip(CROP_CLASSES, shares, strict=True)))
    for name, score in baselines(crops).items():
        print(f"{name:60} {score:.3f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = (options.runs or Path(folder)).resolve() / streets.name  # other streets, other runs
        networks(options.root, runs, crops, options.seeds, options.epochs)


if __name__ == "__main__":
    main()
