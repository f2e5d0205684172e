"""How hard the embedded crops are: what colour, size and thumbnails tell, and what networks learn.

    python -m benchmarks.synthetic_difficulty [--root data/synthetic_idd] [--seeds 3] [--resnet-epochs 12] [--quick]

Prints a table of test accuracies of crops at 64 x 64 pixels, split 70/10/20 by drive and, for comparison, by sample.
"""

import argparse
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from datamodules.annotations import find_frames, polygon_file, read_annotation
from datamodules.crop_rules import CROP_CLASSES, CropRules, bounding_box, square
from datamodules.object_crops import find_crops
from datamodules.settings import DataSettings
from datamodules.splits import split_candidates
from datamodules.synthetic.generate import ensure
from datamodules.table import SPLITS

SIDE = 64


@dataclass(frozen=True)
class Crops:
    """Crops (N, 64, 64, 3) uint8, the objects' boxes (N, 2) as width and height, targets (N,) and splits (N,)."""

    images: np.ndarray
    boxes: np.ndarray
    targets: np.ndarray
    splits: np.ndarray
    names: list[str]

    def part(self, split: str) -> np.ndarray:
        """Which samples belong to a split."""
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
    """Test accuracies of what needs no eye for shape; of several readers of the same feature, the best."""
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
        readers = [make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.1))]
        if values.shape[1] <= 3:
            readers.append(make_pipeline(StandardScaler(), KNeighborsClassifier(25)))
        scores[name] = max(
            float(r.fit(values[train], crops.targets[train]).score(values[test], crops.targets[test])) for r in readers
        )
    return scores


def custom_cnn(classes: int) -> nn.Module:
    """The project's three convolution blocks and a small head."""
    blocks: list[nn.Module] = []
    for before, after, pool in ((3, 32, 4), (32, 64, 2), (64, 128, 2)):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(pool)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(0.5), nn.Linear(128 * (SIDE // 16) ** 2, classes))


def resnet18(classes: int) -> nn.Module:
    """torchvision's, from scratch."""
    return torchvision.models.resnet18(num_classes=classes)


def learn(model: nn.Module, crops: Crops, epochs: int, seed: int, lr: float = 1e-3) -> float:
    """Train as the project does by default (Adam, cross-entropy, batches of 32, no augmentation); the test accuracy."""
    images = torch.from_numpy(crops.images).permute(0, 3, 1, 2)
    targets = torch.from_numpy(crops.targets)
    train, test = (torch.from_numpy(crops.part(split)) for split in ("train", "test"))
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)

    def logits(chosen: torch.Tensor) -> torch.Tensor:
        batch = (images[chosen].float() / 255 - 0.45) / 0.25
        with torch.autocast("cpu", torch.bfloat16):
            return model(batch.contiguous(memory_format=torch.channels_last)).float()

    for _ in range(epochs):
        model.train()
        for chosen in train[torch.randperm(len(train), generator=generator)].split(32):
            if len(chosen) > 1:
                loss = functional.cross_entropy(logits(chosen), targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    model.eval()
    with torch.inference_mode():
        right = sum(int((logits(chosen).argmax(1) == targets[chosen]).sum()) for chosen in test.split(256))
    return right / len(test)


def network(name: str, crops: Crops, epochs: int, seed: int) -> float:
    """A fresh network's test accuracy."""
    torch.manual_seed(seed)
    return learn({"custom_cnn": custom_cnn, "resnet18": resnet18}[name](len(CROP_CLASSES)), crops, epochs, seed)


def shuffled(crops: Crops, seed: int) -> Crops:
    """The same crops with the training targets in another order."""
    targets, train = crops.targets.copy(), crops.part("train")
    targets[train] = np.random.default_rng(seed).permutation(targets[train])
    return replace(crops, targets=targets)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data/synthetic_idd"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cnn-epochs", type=int, default=10)
    parser.add_argument("--resnet-epochs", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="one seed of the small network, no ResNet")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    root = ensure(options.root)
    crops = load(root)
    counts = {split: len(crops.part(split)) for split in SPLITS}
    shares = np.bincount(crops.targets, minlength=len(CROP_CLASSES)) / len(crops.targets)
    print(f"{len(crops.targets)} crops {counts}")
    print(", ".join(f"{name} {share:.1%}" for name, share in zip(CROP_CLASSES, shares, strict=True)))
    for name, score in baselines(crops).items():
        print(f"{name:34} {score:.3f}", flush=True)
    runs = [("custom_cnn", options.cnn_epochs)] + ([] if options.quick else [("resnet18", options.resnet_epochs)])
    for name, epochs in runs:
        start = time.perf_counter()
        scores = [network(name, crops, epochs, seed) for seed in range(1 if options.quick else options.seeds)]
        took = (time.perf_counter() - start) / len(scores)
        told = " ".join(f"{score:.3f}" for score in scores)
        print(f"{name + f', {epochs} epochs':34} {np.mean(scores):.3f}  ({told}; {took:.0f} s each)", flush=True)
    print(f"{'custom_cnn, shuffled targets':34} {network('custom_cnn', shuffled(crops, 0), 3, 0):.3f}")
    print(
        f"{'custom_cnn, split by sample':34} {network('custom_cnn', load(root, 'sample'), options.cnn_epochs, 0):.3f}"
    )


if __name__ == "__main__":
    main()
