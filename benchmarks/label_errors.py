"""Are planted label errors among the first candidates?

    python -m benchmarks.label_errors [--predicted FILE.npz]

Prints Markdown; needs REAL_DATA. 5 % of IDD-Lite's regions and of TrashNet's labels get another class; then models predict in
two folds what they were not trained on, with the false labels among what they learn from. `--predicted` keeps the masks of the
network, which take some minutes of a core, or reads them.
"""

import argparse
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.near_duplicates import trashnet
from benchmarks.timing import machine, markdown_table
from datamodules.files.frame_pairs import list_pairs
from datamodules.files.images import read_image
from datamodules.files.masks import image_mask
from datamodules.idd_lite import LAYOUT
from label_spaces.catalogue import load
from metrics.label_errors import BORDER, Region, disagreeing_regions, image_scores, region_scores, surprise

FLIPPED = 0.05
FOUND = (50, 100, 200)
EPOCHS, BATCH = 7, 8


class Network(nn.Module):
    """A small U-Net that also sees the place of a pixel."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.down = nn.ModuleList(block(a, b, 2) for a, b in zip((5, *widths), widths, strict=False))
        self.up = nn.ModuleList(block(widths[k] + widths[k - 1], widths[k - 1], 1) for k in range(len(widths) - 1, 0, -1))  # fmt: skip
        self.head = nn.Conv2d(widths[0], 7, 1)

    def forward(self, images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Map (B, 3, h, w) to logits (B, 7, H, W) of another size."""
        height, width = images.shape[2:]
        place = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        features = [torch.cat([images, torch.stack(place).expand(len(images), 2, height, width)], 1)]
        for down in self.down:
            features.append(down(features[-1]))
        values = features.pop()
        for up in self.up:
            skip = features.pop()
            values = up(torch.cat([functional.interpolate(values, size=skip.shape[2:], mode="bilinear"), skip], 1))
        return functional.interpolate(self.head(values), size=size, mode="bilinear")


def block(given: int, width: int, stride: int) -> nn.Sequential:
    """Two convolutions."""
    layers = [
        (nn.Conv2d(a, width, 3, step, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        for a, step in ((given, stride), (width, 1))
    ]
    return nn.Sequential(*layers[0], *layers[1])


def out_of_fold(images: np.ndarray, masks: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Train on each half of the frames, and predict the other one: (N, H, W) uint8."""
    predicted = np.zeros_like(masks)

    def batch(index: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(images[index].transpose(0, 3, 1, 2).copy()).float()
        return (pixels / 127.5 - 1).contiguous(memory_format=torch.channels_last)

    for half in (0, 1):
        torch.manual_seed(half)
        train, test = np.flatnonzero(fold != half), np.flatnonzero(fold == half)
        network, steps = Network().to(memory_format=torch.channels_last), len(train) // BATCH
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=EPOCHS * steps + 1)
        counts = np.bincount(masks[train].ravel(), minlength=8)[:7]
        weight = torch.from_numpy(np.sqrt(counts.sum() / (7 * counts.clip(1)))).float()
        for epoch in range(EPOCHS):
            draws = np.random.default_rng([half, epoch])
            for chosen in np.array_split(draws.permutation(train), steps):
                pixels, target = batch(chosen), torch.from_numpy(masks[chosen, ::2, ::2]).long()
                turned = torch.from_numpy(draws.random(len(chosen)) < 0.5)
                pixels[turned], target[turned] = pixels[turned].flip(3), target[turned].flip(2)
                with torch.autocast("cpu", torch.bfloat16):
                    logits = network(pixels, (target.shape[1], target.shape[2]))
                optimizer.zero_grad()
                functional.cross_entropy(logits.float(), target, weight, ignore_index=7).backward()
                optimizer.step()
                schedule.step()
        network.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for chosen in np.array_split(test, len(test) // BATCH):
                predicted[chosen] = network(batch(chosen), (masks.shape[1], masks.shape[2])).argmax(1).numpy()
    return predicted


def flipped(masks: np.ndarray) -> np.ndarray:
    """The masks, 5 % of whose regions (of at least 100 pixels inside the border) have another class, any with equal chance."""
    square, draws, regions = np.ones((2 * BORDER + 1,) * 2, np.uint8), np.random.default_rng(0), []
    for number, mask in enumerate(masks):
        inside = cv2.dilate(mask, square) == cv2.erode(mask, square)
        for index in range(7):
            count, found = cv2.connectedComponents((mask == index).astype(np.uint8), connectivity=8)
            sizes = np.bincount(found[inside], minlength=count)
            regions += [(number, index, region) for region in range(1, count) if sizes[region] >= 100]
    changed = masks.copy()
    for chosen in draws.choice(len(regions), round(FLIPPED * len(regions)), replace=False):
        number, index, region = regions[chosen]
        _, found = cv2.connectedComponents((masks[number] == index).astype(np.uint8), connectivity=8)
        changed[number][found == region] = draws.choice([other for other in range(7) if other != index])
    return changed


def rated(regions: list[Region], confusion: np.ndarray, **same: float) -> np.ndarray:
    """The scores of regions as if all had the same value of something."""
    return region_scores([each._replace(**same) for each in regions], confusion)


WAYS: dict[str, Callable[[list[Region], np.ndarray], np.ndarray]] = {
    "root of size × purity × surprise (used)": rated,
    "size × purity × surprise": lambda regions, counts: rated(regions, counts) * np.sqrt([each[2] for each in regions]),
    "without size": lambda regions, counts: rated(regions, counts, pixels=1),
    "without purity": lambda regions, counts: rated(regions, counts, purity=1),
    "without surprise": lambda regions, _: np.array([np.sqrt(each.pixels) * each.purity for each in regions]),
    "size alone": lambda regions, _: np.array([each.pixels for each in regions]),
}


def label_errors(root: Path, kept: Path | None) -> Iterator[list[str]]:
    """Yield a row for each way to rank regions: the share of the first that were flipped, and the share of the flipped found."""
    space, place = load("idd_lite"), root / "idd20k_lite"
    pairs = list_pairs([place], LAYOUT).pairs
    truth = np.stack([image_mask(place / pair.truth, space) for pair in pairs])
    images = np.stack([cv2.resize(read_image(place / pair.name), (160, 112), interpolation=cv2.INTER_AREA) for pair in pairs])  # fmt: skip
    fold = np.array([zlib.crc32(f"{pair.split}{pair.group}".encode()) % 2 for pair in pairs])
    changed = flipped(truth)
    if kept is not None and kept.exists():
        predicted = np.load(kept)["predicted"]
    else:
        predicted = out_of_fold(images, changed, fold)
        if kept is not None:
            np.savez_compressed(kept, predicted=predicted)
    known = truth != space.void
    confusion = np.bincount(truth[known] * 8 + predicted[known], minlength=64).reshape(8, 8)[:7, :7]
    print(f"mIoU of the predictions: {(np.diag(confusion) / (confusion.sum(0) + confusion.sum(1) - np.diag(confusion))).mean():.3f}\n")  # fmt: skip
    regions, planted, confusion = [], [], np.zeros((7, 7), np.int64)
    for before, after, prediction in zip(truth, changed, predicted, strict=True):
        for region in disagreeing_regions(after, prediction, space.void):
            left, top, width, height = region.box
            part = np.s_[top : top + height, left : left + width]
            chosen = (after[part] == region.true) & (prediction[part] == region.predicted)
            regions.append(region)
            planted.append((before[part] != after[part])[chosen].mean() > 0.5)
        valid = after != space.void
        confusion += np.bincount(after[valid] * 8 + prediction[valid], minlength=64).reshape(8, 8)[:7, :7]
    flips = np.array(planted)
    print(f"{len(regions):,} regions, {flips.sum()} of them in flipped ones\n")
    for name, way in WAYS.items():
        order = np.argsort(-way(regions, confusion), kind="stable")
        yield [name, *(f"{flips[order[:number]].mean():.2f}" for number in (*FOUND, int(flips.sum())))]


def false_classes(root: Path) -> Iterator[list[str]]:
    """Yield the same for the images of TrashNet, judged by their colours."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    found, draws = trashnet(root), np.random.default_rng(0)
    features = []
    for path, _ in found:
        image = read_image(path)
        colours = [np.histogram(image[..., channel], 32, (0, 256))[0] for channel in range(3)]
        features.append(np.concatenate([cv2.resize(image, (12, 12), interpolation=cv2.INTER_AREA).ravel(), *colours]))
    _, truth = np.unique([sample.target for _, sample in found], return_inverse=True)
    target = truth.copy()
    chosen = draws.choice(len(truth), round(FLIPPED * len(truth)), replace=False)
    target[chosen] = (truth[chosen] + draws.integers(1, 6, len(chosen))) % 6
    model = ExtraTreesClassifier(300, min_samples_leaf=2, random_state=0)
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    probabilities = cross_val_predict(model, np.stack(features), target, cv=folds, method="predict_proba")
    prediction, rows = probabilities.argmax(1), np.arange(len(truth))
    own, highest = probabilities[rows, target], probabilities.max(1)
    print(f"\naccuracy of the predictions: {(prediction == truth).mean():.3f}\n")
    thresholds = [probabilities[target == each, each].mean() for each in range(6)]
    confident = (prediction != target) & (highest >= np.take(thresholds, prediction))
    confusion = np.zeros((6, 6), np.int64)
    np.add.at(confusion, (target, prediction), 1)
    ways = {
        "margin × surprise, confident ones (used)": image_scores(target, prediction, highest, own, 6),
        "margin, confident ones (confident learning)": np.where(confident, highest - own, 0),
        "margin": highest - own,
        "surprise alone": surprise(confusion)[target, prediction],
    }
    for name, scores in ways.items():
        order = np.argsort(-scores, kind="stable")
        yield [name, *(f"{(truth != target)[order[:number]].mean():.2f}" for number in (*FOUND, len(chosen)))]


def main() -> None:
    """Measure masks and images, and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predicted", type=Path)
    arguments, root = parser.parse_args(), Path(os.environ["REAL_DATA"])
    cv2.setNumThreads(0)
    print(machine(("opencv-python-headless", "torch", "scikit-learn", "numpy")) + "\n")
    header = [f"first {number}" for number in FOUND]
    print(markdown_table(["IDD-Lite: flipped, of the", *header, "as many as there are"], list(label_errors(root, arguments.predicted))))  # fmt: skip
    print(markdown_table(["TrashNet: flipped, of the", *header, "as many as there are"], list(false_classes(root))))


if __name__ == "__main__":
    main()
