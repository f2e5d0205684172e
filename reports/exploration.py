"""What explore.json holds: the content of a dataset by split and class, its sizes, its brightness and equal images."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.slices import SIZE_BOUNDS, SIZES

SPLITS = ("train", "select", "val", "test", "")  # in the order in which they are shown; "" where nothing is split
UNSPLIT = "unsplit"
BINS = 20  # of brightness
EXTREMES = 6  # the darkest and the brightest images that are named
MOST_SIZES = 10
MOST_SHOWN, FEWEST_SHOWN = 24, 12  # frames that a page shows, and images where there are no classes
MOST_IMAGES = 120  # of classification
BLANK = 0.01  # the contrast below which nothing can be seen in an image
SQUASHED = 1.1  # the ratio of an image's shape to that of the network's input from which it counts as squashed


@dataclass(frozen=True)
class Explored:
    """What is known of the N images of a dataset with C classes.

    Args:
        unit: what `elements` counts: pixels, or images, of which each has one class.
        names: of the images.
        splits: of SPLITS.
        groups: the drives; each one's own name where there are none.
        truth: (N,) whether an image has a class or a mask.
        classes: names.
        elements: (N, 2, C+1) pixels of each class, of void last, in the upper and the lower half; of images 1 for its class, in the upper one.
        objects: (R, 2) class and area in pixels of each object.
        sizes: (N, 2) height and width in pixels.
        trained: (height, width) in pixels of the network's input, before augmentation; None where it is not known.
        brightness: (N,) mean luma in 0–1.
        contrast: (N,) its standard deviation.
        upper: (N,) mean luma of the upper half minus that of the lower half.
        digests: (N,) hashes of the pixels.
    """

    unit: str
    names: Sequence[str]
    splits: Sequence[str]
    groups: Sequence[str]
    truth: NDArray[np.bool_]
    classes: Sequence[str]
    elements: NDArray[np.int64]
    objects: NDArray[np.int64]
    sizes: NDArray[np.int64]
    trained: tuple[int, int] | None
    brightness: NDArray[np.float64]
    contrast: NDArray[np.float64]
    upper: NDArray[np.float64]
    digests: Sequence[str]

    def parts(self) -> dict[str, NDArray[np.int64]]:
        """Return the places of the images of each split that has some."""
        splits = np.array(self.splits, dtype=str)
        found = {split or UNSPLIT: np.flatnonzero(splits == split) for split in SPLITS}
        return {split: rows for split, rows in found.items() if len(rows)}


def describe(found: Explored) -> dict[str, Any]:
    """Return the part of explore.json that is computed of the images; a share is in 0–1, an undefined one None."""
    return {
        "splits": _splits(found),
        "has_groups": len(set(found.groups)) < len(found.names),
        "classes": _classes(found),
        "void": _share(found.elements[:, :, -1].sum(), found.elements.sum()),
        "sizes": _sizes(found),
        "brightness": _brightness(found),
        "equal": _equal(found),
    }


def _splits(found: Explored) -> list[dict[str, Any]]:
    return [
        {
            "name": split,
            "images": len(rows),
            "groups": len({found.groups[row] for row in rows}),
            "without_truth": int((~found.truth[rows]).sum()),
        }
        for split, rows in found.parts().items()
    ]


def _classes(found: Explored) -> list[dict[str, Any]]:
    """Return of each class its numbers by split, the `upper` share of its pixels, and the sizes of its objects."""
    by_class = found.elements[:, :, :-1]
    elements, halves = by_class.sum(axis=1), by_class.sum(axis=0)
    groups, parts = np.array(found.groups, dtype=str), found.parts()
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(found.classes):
        counts = {}
        for split, places in parts.items():
            having = places[elements[places, index] > 0]
            count = int(elements[places, index].sum())
            counts[split] = {"count": count, "images": len(having), "groups": len(np.unique(groups[having]))}
        upper = _share(halves[0, index], halves[:, index].sum()) if found.unit == "pixels" else None
        areas = found.objects[found.objects[:, 0] == index, 1]
        rows.append({"name": name, "splits": counts, "upper": upper, "objects": _objects(areas)})
    return rows


def _objects(areas: NDArray[np.int64]) -> dict[str, Any] | None:
    """Return the number of objects, percentiles of their sides (the root of the area, in pixels), and shares by size."""
    if not len(areas):
        return None
    sides = np.percentile(np.sqrt(areas), [10, 50, 90])
    sizes = np.bincount(np.searchsorted(SIZE_BOUNDS, areas, "right"), minlength=len(SIZES)) / len(areas)
    return {"count": len(areas)} | dict(zip(("p10", "p50", "p90"), np.round(sides, 1).tolist(), strict=True)) | dict(zip(SIZES, sizes.tolist(), strict=True))  # fmt: skip


def _sizes(found: Explored) -> dict[str, Any]:
    sizes = Counter(map(tuple, found.sizes.tolist()))
    shapes = found.sizes[:, 1] / found.sizes[:, 0]
    squashed = None
    if found.trained is not None:
        ratio = shapes / (found.trained[1] / found.trained[0])
        squashed = _share((np.maximum(ratio, 1 / ratio) > SQUASHED).sum(), len(ratio))
    return {
        "different": len(sizes),
        "commonest": [{"height": h, "width": w, "images": n} for (h, w), n in sizes.most_common(MOST_SIZES)],
        "sides": {
            name: np.percentile(found.sizes[:, axis], [0, 50, 100]).tolist()
            for axis, name in enumerate(("height", "width"))
        },
        "network": None if found.trained is None else {"height": found.trained[0], "width": found.trained[1]},
        "squashed": squashed,
    }


def _brightness(found: Explored) -> dict[str, Any]:
    edges, values = np.linspace(0, 1, BINS + 1), found.brightness
    order = np.argsort(values, kind="stable").tolist()
    splits = {}
    for split, rows in found.parts().items():
        low, middle, high = np.percentile(values[rows], [5, 50, 95]).round(4).tolist()
        counts = np.histogram(values[rows], edges)[0].tolist()
        splits[split] = {"mean": round(float(values[rows].mean()), 4), "p5": low, "p50": middle, "p95": high, "counts": counts}  # fmt: skip
    return {
        "edges": edges.round(2).tolist(),
        "splits": splits,
        "upper_brighter": _share((found.upper > 0).sum(), len(found.upper)),
        "darkest": [{"sample": found.names[row], "value": round(float(values[row]), 4)} for row in order[:EXTREMES]],
        "brightest": [{"sample": found.names[row], "value": round(float(values[row]), 4)} for row in order[::-1][:EXTREMES]],
        "blank": [found.names[row] for row in np.flatnonzero(found.contrast < BLANK).tolist()],
    }  # fmt: skip


def _equal(found: Explored) -> list[dict[str, Any]]:
    """Return the groups of images of equal pixels, with their splits and, of classification, their classes."""
    members: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(found.digests):
        members[digest].append(row)
    classes = found.elements[:, :, :-1].sum(axis=1)
    one_class = found.truth & (found.unit == "images")
    return [
        {
            "samples": [found.names[row] for row in rows],
            "splits": sorted({found.splits[row] or UNSPLIT for row in rows}, key=[*SPLITS, UNSPLIT].index),
            "classes": sorted({found.classes[int(classes[row].argmax())] for row in rows if one_class[row]}),
        }
        for rows in members.values()
        if len(rows) > 1
    ]


def _share(part: np.integer[Any] | int, whole: np.integer[Any] | int) -> float | None:
    return float(part / whole) if whole else None


def shown(found: Explored) -> list[dict[str, str]]:
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
        for row in _spread(np.arange(len(found.names)), FEWEST_SHOWN):
            why.setdefault(row, "one of all")
    return [{"sample": found.names[row], "split": found.splits[row] or UNSPLIT, "why": why[row]} for row in why]


def _spread(rows: NDArray[np.int64], count: int) -> list[int]:
    """Return up to `count` of some rows, evenly spread."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [int(row) for row in rows[places]]
