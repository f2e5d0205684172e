"""Synthetic frames compared with real ones: shares of the classes, differences between drives, pixel baselines.

    python -m benchmarks.synthetic_frames [--root data/synthetic_idd] [--seed 0]

Level 1, frames at their own size. Prints Markdown; IDD-Lite stands beside where the environment's REAL_DATA has it.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.timing import machine, markdown_table
from datamodules.files.frame_pairs import IDD_LAYOUT, Layout, Pair, list_pairs
from datamodules.files.images import read_image
from datamodules.files.masks import Mask, image_mask, polygon_mask
from datamodules.idd_lite import LAYOUT as LITE
from datamodules.synthetic.generate import ensure
from label_spaces.catalogue import load
from label_spaces.space import LabelSpace
from metrics.pixel_baselines import pixel_baseline_scores, pixel_tables

SPACE = load("idd_level1")
STREETS = IDD_LAYOUT


@dataclass(frozen=True)
class Figures:
    """Numbers of frames and drives, each class's share and intraclass correlation, each baseline's mIoU on val."""

    frames: int
    drives: int
    shares: np.ndarray
    correlations: np.ndarray
    baselines: dict[str, float]


def intraclass_correlation(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the share of the variance between groups: one-way random effects, single measurements, ICC(1).

    Source: Shrout & Fleiss 1979, with the mean group size of Donner 1986 for groups that differ in size.

    Args:
        values: (N, C) measurements.
        groups: (N,) group of each.

    Returns:
        (C,) correlations, at most 1.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, group, values)
    means = sums / sizes[:, None]
    between = (sizes[:, None] * (means - values.mean(axis=0)) ** 2).sum(axis=0) / (len(sizes) - 1)
    within = ((values - means[group]) ** 2).sum(axis=0) / (len(values) - len(sizes))
    size = (len(values) - (sizes**2).sum() / len(values)) / (len(sizes) - 1)
    return (between - within) / (between + (size - 1) * within)


def measure(root: Path, layout: Layout, read_mask: Callable[[Path, LabelSpace], Mask]) -> Figures:
    """Read every frame below `root` that has truth; tables learn from train and are scored on val."""
    pairs = list_pairs([root], layout).pairs
    counts: dict[str, np.ndarray] = {}

    def frames(split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for pair in pairs:
            if pair.split == split:
                mask = read_mask(root / pair.truth, SPACE)
                counts[pair.name] = np.bincount(mask.ravel(), minlength=SPACE.num_classes + 1)
                yield read_image(root / pair.name).transpose(2, 0, 1), mask

    tables = pixel_tables(SPACE.num_classes)
    for image, mask in frames("train"):
        for table in tables.values():
            table.update(image, mask)
    scores = pixel_baseline_scores(tables, frames("val"))
    return _figures(pairs, counts, {name: float(values["miou"] or 0) for name, values in scores.items()})


def _figures(pairs: list[Pair], counts: dict[str, np.ndarray], baselines: dict[str, float]) -> Figures:
    known = np.array([counts[pair.name][:-1] for pair in pairs])
    fractions = known / known.sum(axis=1, keepdims=True)
    drives = np.array([pair.group for pair in pairs])
    return Figures(
        len(pairs), len(set(drives)), fractions.mean(axis=0), intraclass_correlation(fractions, drives), baselines
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data/synthetic_idd"))
    parser.add_argument("--seed", type=int, default=0, help="of the streets")
    options = parser.parse_args()
    figures = {"synthetic": measure(ensure(options.root, seed=options.seed), STREETS, polygon_mask)}
    if "REAL_DATA" in os.environ:
        figures["IDD-Lite"] = measure(Path(os.environ["REAL_DATA"]) / "idd20k_lite", LITE, image_mask)
    sets = list(figures.items())
    print(f"{machine(('numpy', 'pillow', 'opencv-python-headless'))}; ", end="")
    print(", ".join(f"{name}: {one.frames} frames of {one.drives} drives" for name, one in sets) + "\n")
    header = [f"{name}, {what}" for what in ("share", "correlation") for name, _ in sets]
    rows = [
        [label, *(f"{one.shares[i]:.3f}" for _, one in sets), *(f"{one.correlations[i]:.2f}" for _, one in sets)]
        for i, label in enumerate(SPACE.classes)
    ]
    print(markdown_table(["class", *header], rows) + "\n")
    rows = [
        [name.replace("_", " "), *(f"{one.baselines[name]:.3f}" for _, one in sets)] for name in sets[0][1].baselines
    ]
    print(markdown_table(["mIoU on val, 7 classes", *(name for name, _ in sets)], rows))


if __name__ == "__main__":
    main()
