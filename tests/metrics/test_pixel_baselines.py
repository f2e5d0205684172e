import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metrics.counting import confusion_matrix
from metrics.pixel_baselines import PixelTable, pixel_baseline_scores, pixel_tables
from metrics.scores import mean_scores

VOID = 3


def naive_prediction(key, training, image):
    """The commonest class of each key in a dictionary of counters; of equally common ones the lowest."""
    counts, overall = {}, Counter()
    for picture, mask in training:
        for y, x in np.ndindex(mask.shape):
            if mask[y, x] != VOID:
                counts.setdefault(key(picture, y, x), Counter())[int(mask[y, x])] += 1
                overall[int(mask[y, x])] += 1

    def commonest(counter):
        return min(counter, key=lambda c: (-counter[c], c))

    _, height, width = image.shape
    return [[commonest(counts.get(key(image, y, x), overall)) for x in range(width)] for y in range(height)]


KEYS = {
    "position_prior": lambda image, y, x: (y * 32 // image.shape[1], x * 32 // image.shape[2]),
    "colour_table": lambda image, y, x: tuple(int(image[c, y, x]) // 16 for c in range(3)),
    "colour_row": lambda image, y, x: (
        *(int(image[c, y, x]) // 32 for c in range(3)),
        y * 16 // image.shape[1],
    ),
}


def frames(count, size, seed):
    rng = np.random.default_rng(seed)
    return [
        (
            rng.integers(0, 3, (3, *size), dtype=np.uint8) * 100,
            rng.choice(4, size, p=[0.5, 0.2, 0.2, 0.1]).astype(np.uint8),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", KEYS)
def test_equals_counting_pixel_by_pixel(name):
    training = frames(2, (37, 50), 0) + frames(1, (20, 33), 1)  # of different sizes
    table = pixel_tables(3)[name]
    for image, mask in training:
        table.update(torch.from_numpy(image), torch.from_numpy(mask))
    image = frames(1, (40, 45), 2)[0][0]
    assert table.predict(torch.from_numpy(image)).tolist() == naive_prediction(KEYS[name], training, image)


@pytest.mark.parametrize("name", KEYS)
def test_scores_are_those_of_the_predicted_masks(name):
    table, evaluated = pixel_tables(3)[name], frames(3, (30, 41), 5)
    for image, mask in frames(2, (37, 50), 0):
        table.update(image, mask)
    expected = sum(
        confusion_matrix(torch.tensor(table.predict(image)), torch.from_numpy(mask), 3) for image, mask in evaluated
    )
    seen = pixel_tables(3)[name]
    for image, mask in evaluated:
        seen.update(image, mask)
    assert np.array_equal(table.confusion(seen), expected)
    means = mean_scores(expected)
    assert pixel_baseline_scores({name: table}, evaluated) == {
        name: {score: means[score] for score in ("accuracy", "miou", "fwiou")}
    }


def test_where_colour_decides_the_colour_table_is_never_wrong():
    rng = np.random.default_rng(0)
    colours = torch.tensor([[200, 30, 30], [30, 200, 30], [30, 30, 200], [0, 0, 0]], dtype=torch.uint8)

    def frame():
        mask = torch.from_numpy(rng.choice(4, (24, 40)))
        return colours[mask].permute(2, 0, 1), mask

    tables = pixel_tables(3)
    for image, mask in [frame() for _ in range(3)]:
        for table in tables.values():
            table.update(image, mask)
    scores = pixel_baseline_scores(tables, iter([frame(), frame()]))
    assert scores["colour_table"] == scores["colour_row"] == {"accuracy": 1, "miou": 1, "fwiou": 1}
    assert scores["position_prior"]["accuracy"] < 0.5


def test_where_the_row_decides():
    image = torch.full((3, 32, 64), 128, dtype=torch.uint8)
    mask = (torch.arange(32) // 16)[:, None].expand(32, 64)  # the upper half 0, the lower 1, of one colour
    tables = pixel_tables(2)
    for table in tables.values():
        table.update(image, mask)
    scores = pixel_baseline_scores(tables, [(image, mask)])
    assert (scores["position_prior"]["miou"], scores["colour_row"]["miou"]) == (1, 1)
    assert scores["colour_table"]["accuracy"] == 0.5


def test_nothing_learnt_says_void():
    table = PixelTable(lambda image: image[0].astype(int), 256, 3)
    image, void = torch.zeros(3, 4, 5, dtype=torch.uint8), torch.full((4, 5), VOID)
    table.update(image, void)
    assert np.array_equal(table.predict(image), void)


@pytest.mark.parametrize("mask", [np.full((4, 5), 255), np.zeros((5, 4), dtype=int)])
def test_a_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises(ValueError, match="does not fit an image of shape"):
        pixel_tables(3)["colour_table"].update(np.zeros((3, 4, 5), dtype=np.uint8), mask)


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
def test_on_idd_lite():
    root = Path(os.environ["REAL_DATA"]) / "idd20k_lite"

    def pairs(split):
        for path in sorted((root / "leftImg8bit" / split).glob("*/*_image.jpg")):
            name = path.name.replace("_image.jpg", "_label.png")
            mask = np.array(Image.open(root / "gtFine" / split / path.parent.name / name))
            image = np.array(Image.open(path).convert("RGB"))
            yield torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(np.minimum(mask, 7))

    tables = pixel_tables(7)
    for image, mask in pairs("train"):
        for table in tables.values():
            table.update(image, mask)
    scores = pixel_baseline_scores(tables, pairs("val"))
    # On all 204 frames of the official val: 0.237, 0.256, 0.338, and an accuracy of 0.72. On every second drive of
    # them, which is what REAL_DATA holds: 0.241, 0.272, 0.346 and 0.742.
    assert scores["position_prior"]["miou"] == pytest.approx(0.237, abs=0.03)
    assert scores["colour_table"]["miou"] == pytest.approx(0.256, abs=0.03)
    assert scores["colour_row"]["miou"] == pytest.approx(0.338, abs=0.03)
    assert scores["colour_row"]["accuracy"] == pytest.approx(0.72, abs=0.03)
