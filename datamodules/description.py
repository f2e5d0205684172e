"""What explore.json holds: the content of a dataset by split and class, its sizes, its brightness and equal images."""

from collections import Counter, defaultdict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.splits.sample_table import TABLE_SPLITS
from datamodules.statistics import Statistics
from metrics.slices import SIZE_BOUNDS, SIZES

UNSPLIT = "unsplit"  # stands for the split of images that are in none
SPLITS = (*TABLE_SPLITS, UNSPLIT)
BINS = 20  # of brightness
EXTREMES = 6  # the darkest and the brightest images that are named
MOST_SIZES = 10
MOST_SHOWN, FEWEST_SHOWN = 24, 12  # frames that a page shows, and images where there are no classes
MOST_IMAGES = 120  # of classification
FEWEST_JUDGED = 20  # images on which it is tested whether these have an up and a down
BLANK = 3  # levels of grey, of 255, up to which nothing can be seen in an image
SQUASHED = 1.1  # the ratio of an image's shape to that of the network's input from which it counts as squashed


def parts(found: Statistics) -> dict[str, NDArray[np.int64]]:
    """Return the places of the images of each split that has some."""
    splits = np.array([sample.split for sample in found.samples], dtype=str)
    rows = {split: np.flatnonzero(splits == split) for split in SPLITS}
    return {split: places for split, places in rows.items() if len(places)}


def describe(found: Statistics, network: tuple[int, int]) -> dict[str, Any]:
    """Return the part of explore.json that is computed of the images; a share is in 0–1, an undefined one None.

    `network` is the (height, width) in pixels that training resizes images to.
    """
    return {
        "splits": _splits(found),
        "has_groups": len({sample.group for sample in found.samples}) < len(found.samples),
        "classes": _classes(found),
        "void": _share(found.elements[:, :, -1].sum(), found.elements.sum()),
        "sizes": _sizes(found, network),
        "brightness": _brightness(found),
        "equal": _equal(found),
    }


def _splits(found: Statistics) -> list[dict[str, Any]]:
    return [
        {
            "name": split,
            "images": len(rows),
            "groups": len({found.samples[row].group for row in rows}),
            "without_truth": sum(not found.samples[row].target for row in rows),
        }
        for split, rows in parts(found).items()
    ]


def _classes(found: Statistics) -> list[dict[str, Any]]:
    """Return of each class its numbers by split, the `upper` share of its pixels, and the sizes of its objects."""
    by_class = found.elements[:, :, :-1]
    elements, halves = by_class.sum(axis=1), by_class.sum(axis=0)
    groups, splits = np.array([sample.group for sample in found.samples], dtype=str), parts(found)
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(found.classes):
        counts = {}
        for split, places in splits.items():
            having = places[elements[places, index] > 0]
            count = int(elements[places, index].sum())
            counts[split] = {"count": count, "images": len(having), "groups": len(np.unique(groups[having]))}
        upper = _share(halves[0, index], halves[:, index].sum()) if found.unit == "pixels" else None
        areas = found.objects[found.objects[:, 0] == index, 1]
        total = int(halves[:, index].sum())
        rows.append({"name": name, "splits": counts, "total": total, "upper": upper, "objects": _objects(areas)})
    return rows


def _objects(areas: NDArray[np.int64]) -> dict[str, Any] | None:
    """Return the number of objects, percentiles of their sides (the root of the area, in pixels), and shares by size."""
    if not len(areas):
        return None
    sides = np.percentile(np.sqrt(areas), [10, 50, 90])
    sizes = np.bincount(np.searchsorted(SIZE_BOUNDS, areas, "right"), minlength=len(SIZES)) / len(areas)
    return {"count": len(areas)} | dict(zip(("p10", "p50", "p90"), np.round(sides, 1).tolist(), strict=True)) | dict(zip(SIZES, sizes.tolist(), strict=True))  # fmt: skip


def _sizes(found: Statistics, network: tuple[int, int]) -> dict[str, Any]:
    sizes = Counter(map(tuple, found.sizes.tolist()))
    ratio = found.sizes[:, 1] / found.sizes[:, 0] * network[0] / network[1]
    sides = (np.percentile(side, [0, 50, 100]).tolist() for side in found.sizes.T)
    return {
        "different": len(sizes),
        "commonest": [{"height": h, "width": w, "images": n} for (h, w), n in sizes.most_common(MOST_SIZES)],
        "sides": dict(zip(("height", "width"), sides, strict=True)),
        "network": {"height": network[0], "width": network[1]},
        "squashed": _share((np.maximum(ratio, 1 / ratio) > SQUASHED).sum(), len(ratio)),
    }


def _brightness(found: Statistics) -> dict[str, Any]:
    grey, edges = found.pictures, np.linspace(0, 255, BINS + 1)
    values = grey.mean(axis=(1, 2))
    ranked = [{"sample": found.samples[row].name, "value": round(float(values[row]), 1)} for row in np.argsort(values, kind="stable").tolist()]  # fmt: skip
    splits = {}
    for split, rows in parts(found).items():
        low, middle, high = np.percentile(values[rows], [5, 50, 95]).round(1).tolist()
        counts = np.histogram(values[rows], edges)[0].tolist()
        splits[split] = {"mean": round(float(values[rows].mean()), 1), "p5": low, "p50": middle, "p95": high, "counts": counts}  # fmt: skip
    return {
        "edges": edges.round(2).tolist(),
        "splits": splits,
        "upright": _upright(found),
        "darkest": ranked[:EXTREMES],
        "brightest": ranked[::-1][:EXTREMES],
        "blank": [found.samples[row].name for row in np.flatnonzero(np.ptp(grey, axis=(1, 2)) <= BLANK).tolist()],
    }


def _upright(found: Statistics) -> float | None:
    """Return the share of images that brightness alone identifies as upright; None where there are few images, 0.5 is chance.

    The mean difference between an image and its reverse is learnt on the images of every second group; the others are judged.
    """
    small = np.array([cv2.resize(each, (16, 16), interpolation=cv2.INTER_AREA) for each in found.pictures], np.float32)
    small -= small.mean(axis=(1, 2), keepdims=True)
    small /= small.std(axis=(1, 2), keepdims=True) + 1
    differences = (small - small[:, ::-1]).reshape(len(small), -1)
    judged = np.unique([sample.group for sample in found.samples], return_inverse=True)[1] % 2 == 1
    right = differences[judged] @ differences[~judged].mean(axis=0) > 0
    return float(right.mean()) if len(right) >= FEWEST_JUDGED else None


def _equal(found: Statistics) -> list[dict[str, Any]]:
    """Return the groups of images of equal pixels, with their splits and, of classification, their classes."""
    members: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(found.digests):
        members[digest].append(row)
    return [
        {
            "samples": [found.samples[row].name for row in rows],
            "splits": sorted({found.samples[row].split for row in rows}, key=SPLITS.index),
            "classes": sorted({found.samples[row].target for row in rows} - {""}) if found.unit == "images" else [],
        }
        for rows in members.values()
        if len(rows) > 1
    ]


def _share(part: np.integer[Any] | int, whole: np.integer[Any] | int) -> float | None:
    return float(part / whole) if whole else None


def shown(found: Statistics) -> list[dict[str, str]]:
    """Return the samples that a page shows: their names, splits and why.

    Of masks those with most pixels of a class, beginning with the rarest class, unless another one has much of it; of
    classification some of each class.
    """
    elements = found.elements[:, :, :-1].sum(axis=1)
    totals = elements.sum(axis=0)
    order = [index for index in np.argsort(totals, kind="stable").tolist() if totals[index]]
    why: dict[int, str] = {}
    if found.unit == "images":
        each = max(1, min(6, MOST_IMAGES // max(1, len(order))))
        for index in sorted(order)[:MOST_IMAGES]:
            why |= dict.fromkeys(_spread(np.flatnonzero(elements[:, index]), each), found.classes[index])
    else:
        for index in order:
            most = elements[:, index].max()
            if len(why) < MOST_SHOWN and not any(2 * elements[row, index] >= most for row in why):
                why[int(elements[:, index].argmax())] = f"most {found.classes[index]}"
    if len(why) < FEWEST_SHOWN:
        for row in _spread(np.arange(len(found.samples)), FEWEST_SHOWN):
            why.setdefault(row, "spread evenly")
    return [
        {"sample": found.samples[row].name, "split": found.samples[row].split, "why": reason}
        for row, reason in why.items()
    ]


def _spread(rows: NDArray[np.int64], count: int) -> list[int]:
    """Return up to `count` of some rows, evenly spread."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [int(row) for row in rows[places]]
