"""Candidates for label errors: where predictions of a model that was not trained on a sample contradict its label.

Confident learning (Northcutt et al., arXiv 1911.00068; for masks Lad and Mueller, arXiv 2307.05080) compares probabilities.
Saved masks hold none, so that of a region count how many pixels disagree, how much of an object they are, and how rarely
the model makes this confusion.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

BORDER = 3  # pixels on either side of a boundary that are left out
LEAST = 64  # pixels of a region

Mask = NDArray[np.uint8]


class Region(NamedTuple):
    """Connected pixels (corners included) of one class in a mask that a prediction assigns to another class.

    Args:
        true, predicted: the classes.
        pixels: outside the border.
        purity: 0–1, the share that they are of the whole region of `true` in the mask, or of the whole region of
            `predicted` in the prediction, whichever is larger: 1 where a whole object has another class.
        box: left, top, width, height in pixels.
    """

    true: int
    predicted: int
    pixels: int
    purity: float
    box: tuple[int, int, int, int]


def disagreeing_regions(truth: Mask, predicted: Mask, void: int, least: int = LEAST) -> list[Region]:
    """Return the regions of at least so many pixels in which two masks of (H, W) class indices disagree.

    Pixels that are void in either are left out, and those within BORDER pixels of another class in the truth.
    """
    square = np.ones((2 * BORDER + 1, 2 * BORDER + 1), np.uint8)
    inside = (cv2.dilate(truth, square) == cv2.erode(truth, square)) & (truth != void) & (predicted != void)
    differs = inside & (truth != predicted)
    pairs = np.where(differs, truth * np.uint16(256) + predicted, 0)

    @cache
    def sizes(of_truth: bool, index: int) -> NDArray[np.intp]:
        """How many pixels inside each pixel's region of a class has."""
        _, regions = cv2.connectedComponents(
            ((truth if of_truth else predicted) == index).astype(np.uint8), connectivity=8
        )
        return np.asarray(np.bincount(regions[inside], minlength=int(regions.max()) + 1)[regions])

    found = []
    for pair in np.flatnonzero(np.bincount(pairs[differs]) >= least).tolist():
        true, other = divmod(pair, 256)
        chosen = (differs & (pairs == pair)).astype(np.uint8)
        number, regions, stats, _ = cv2.connectedComponentsWithStats(chosen, connectivity=8)
        for region in range(1, number):
            left, top, width, height, pixels = stats[region].tolist()
            if pixels >= least:
                place = top, left + int((regions[top, left:] == region).argmax())
                whole = min(int(sizes(True, true)[place]), int(sizes(False, other)[place]))
                found.append(Region(true, other, pixels, pixels / whole, (left, top, width, height)))
    return found


def surprise(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return (C, C) how strong the evidence of each prediction against the label is, in nats.

    That is log P(predicted p | true p) - log P(predicted p | true t), for t in rows, from (C, C) counts, to each of which one
    is added: large where the model recognises p and rarely takes t for it. 0 where it is negative, and on the diagonal.
    """
    rates = (confusion + 1) / (confusion + 1).sum(axis=1, keepdims=True)
    return np.asarray(np.maximum(np.log(np.diag(rates)) - np.log(rates), 0.0))


def region_scores(regions: Sequence[Region], confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return how much each region looks like a label error: root of its pixels × purity × `surprise` of (C, C) `confusion`."""
    against = surprise(confusion)
    return np.array([np.sqrt(each.pixels) * each.purity * against[each.true, each.predicted] for each in regions])


def image_scores(
    target: NDArray[np.integer],
    prediction: NDArray[np.integer],
    probability: NDArray[np.floating],
    own: NDArray[np.floating],
    num_classes: int,
) -> NDArray[np.float64]:
    """Return how much each of N images looks like a label error; 0 for those that are no candidates.

    Candidates are those of confident learning: another class is predicted, with at least the mean probability that the
    images labelled so have for it. Their score is (probability - own) × `surprise`.

    Args:
        target: (N,) labels, 0..C-1.
        prediction: (N,) predicted classes.
        probability: (N,) of the predicted class.
        own: (N,) probability of the label.
        num_classes: C.
    """
    labelled = np.bincount(target, minlength=num_classes)
    with np.errstate(invalid="ignore"):  # of a class without images the threshold is nan, which nothing reaches
        thresholds = np.bincount(target, own, minlength=num_classes) / labelled
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (target, prediction), 1)
    confident = (prediction != target) & (probability >= thresholds[prediction])
    return np.where(confident, (probability - own) * surprise(confusion)[target, prediction], 0.0)
