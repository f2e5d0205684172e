"""Images that are nearly the same in different splits: re-encoded, resized, cropped or mirrored copies.

    samples = datamodule.table.samples
    pictures = list(in_threads(lambda sample: small_picture(datamodule.read(sample.name)), samples, "Comparing images"))
    pairs = near_duplicates(pictures, samples)

A hash of 64 bits finds a tenth of the copies that are cropped by 15 % (benchmarks/near_duplicates.py), so small pictures are
correlated instead: each with the whole of every other one and with five crops of it. The best few are then aligned with an
affine map (ECC: Evangelidis and Psarakis 2008, DOI 10.1109/TPAMI.2008.113), and their details, without which most roads
resemble each other, must correlate.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.files.audit import in_threads
from datamodules.files.images import RGB
from datamodules.splits.sample_table import Sample

SIDE = 64  # pixels of a small picture
LEAST = 0.9  # correlation of details; unrelated frames of IDD-Lite reach 0.74
CROP = 0.9  # share of the sides that is seen in the crops
CORNERS = ((0.0, 0.0), (0.0, 0.1), (0.1, 0.0), (0.1, 0.1), (0.05, 0.05))  # top and left of the crops, as shares
LIKELY = 0.65  # correlation from which a pair is aligned
NEIGHBOURS = 2  # of each picture and of its mirror image that are aligned
OVERLAP = 0.6  # share of the smaller picture that must lie within the other one
QUERIES = 256  # compared at once: 61 MB with 10,000 pictures
STEPS = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 25, 1e-4

Picture = NDArray[np.uint8]  # (SIDE, SIDE)
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two samples of different splits whose images are nearly the same.

    Args:
        first, second: their names; the first shows all or a part of the second.
        splits: of both.
        correlation: of their details, 0.9–1.
        share: of the second's area that the first shows; about 1 for a copy that is not cropped.
        mirrored: whether one is a mirror image.
    """

    first: str
    second: str
    splits: tuple[str, str]
    correlation: float
    share: float
    mirrored: bool


def small_picture(image: RGB) -> Picture:
    """Return an image in grey at (SIDE, SIDE), whatever its shape."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def near_duplicates(pictures: Sequence[Picture], samples: Sequence[Sample]) -> list[NearDuplicate]:
    """Find the pairs of samples in different splits, and of different groups, that are nearly the same; the surest first.

    Frames of one drive resemble each other, and groups in several splits are found by name, so that such pairs are left out.
    """
    if len({sample.split for sample in samples}) < 2:
        return []
    candidates = _candidates(pictures, samples)

    def verify(candidate: tuple[int, int, int, bool]) -> NearDuplicate | None:
        first, second, view, mirrored = candidate
        one = pictures[first][:, ::-1] if mirrored else pictures[first]
        correlation, share = _aligned(one.astype(np.float32), pictures[second].astype(np.float32), view)
        if correlation < LEAST:
            return None
        names, splits = (samples[first].name, samples[second].name), (samples[first].split, samples[second].split)
        return NearDuplicate(*names, splits, round(correlation, 3), round(share, 3), mirrored)

    best: dict[frozenset[str], NearDuplicate] = {}
    for found in in_threads(verify, candidates, "Comparing images"):
        pair = frozenset((found.first, found.second)) if found else frozenset()
        if found and (pair not in best or found.correlation > best[pair].correlation):
            best[pair] = found
    return sorted(best.values(), key=lambda each: (-each.correlation, each.first, each.second))


def _candidates(pictures: Sequence[Picture], samples: Sequence[Sample]) -> list[tuple[int, int, int, bool]]:
    """Return (first, second, view of the second, whether the first is mirrored) of pairs that are worth aligning."""
    splits, groups = (
        np.unique([getattr(sample, key) for sample in samples], return_inverse=True)[1] for key in ("split", "group")
    )
    views = [_described([_view(picture, view) for picture in pictures]) for view in range(len(CORNERS) + 1)]
    found = []
    for mirrored in (False, True):
        queries = _described([picture[:, ::-1] for picture in pictures]) if mirrored else views[0]
        for start in range(0, len(pictures), QUERIES):
            rows = slice(start, start + QUERIES)
            scores = np.stack([queries[rows] @ view.T for view in views])
            closest = scores.max(axis=0)
            same = (splits[rows, None] == splits) | (groups[rows, None] == groups)
            closest[same] = -1
            for row, near in enumerate(np.argpartition(-closest, min(NEIGHBOURS, len(pictures) - 1), axis=1)):
                likely = [int(each) for each in near[:NEIGHBOURS] if closest[row, each] >= LIKELY]
                found += [(start + row, each, int(scores[:, row, each].argmax()), mirrored) for each in likely]
    return found


def _view(picture: Picture, view: int) -> Picture:
    """Return the whole picture (0) or one of its crops."""
    if view == 0:
        return picture
    side, (top, left) = round(CROP * SIDE), (round(share * SIDE) for share in CORNERS[view - 1])
    return picture[top : top + side, left : left + side]


def _described(pictures: Sequence[Picture]) -> Floats:
    """Return (N, 256) vectors of length 1, whose products are correlations of pictures at 16×16 without slow gradients."""
    small = [cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA) for picture in pictures]
    vectors = np.stack([_details(each, 4).ravel() for each in small])
    vectors -= vectors.mean(axis=1, keepdims=True)
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-3), np.float32)


def _details(picture: NDArray[np.generic], parts: int) -> Floats:
    """Return a picture without what changes over more than a part of its side."""
    values = picture.astype(np.float32)
    return values - np.asarray(cv2.GaussianBlur(values, (0, 0), values.shape[0] / parts), np.float32)


def _aligned(first: Floats, second: Floats, view: int) -> tuple[float, float]:
    """Return the correlation of the details of two pictures, the first laid over the second, and the share that it covers.

    Alignment starts at a view; where it gets lost, as on plain surfaces, the start counts.
    """
    scale, (top, left) = (CROP, CORNERS[view - 1]) if view else (1.0, (0.0, 0.0))
    start = np.array([[scale, 0, left * SIDE], [0, scale, top * SIDE]], np.float32)
    maps = [start]
    everywhere = np.ones((SIDE, SIDE), np.uint8)
    with contextlib.suppress(cv2.error):  # raised where it does not converge
        found = cv2.findTransformECC(first, second, start.copy(), cv2.MOTION_AFFINE, STEPS, everywhere, 3)[1]
        maps.append(np.asarray(found, np.float32))
    return max((_correlation(first, second, each), float(abs(np.linalg.det(each[:, :2])))) for each in maps)


def _correlation(first: Floats, second: Floats, warp: Floats) -> float:
    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (SIDE, SIDE)
    inside = cv2.warpAffine(np.ones_like(second), warp, size, flags=flags) > 0.99
    if inside.mean() < OVERLAP:
        return 0.0
    warped = np.asarray(cv2.warpAffine(second, warp, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
    one, other = (_details(each, 16)[inside] for each in (first, warped))
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1.0))
