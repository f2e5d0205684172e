"""Colours stay near what they vary, within 0 to 255, and follow the generator alone."""

import numpy as np
import pytest

from datamodules.synthetic.geometry import GLASS, SKIN, STREET_COLOURS, Palette, tint


def palette(seed: int = 0, **options) -> Palette:
    return Palette(np.random.default_rng(seed), **options)


def distance(colour, colours) -> float:
    return min(np.abs(np.subtract(colour, other)).max() for other in colours)


def test_a_tint_scales_shifts_and_clips():
    assert tint((10.0, 100.0, 200.0), 1.5, -20.0) == (0.0, 130.0, 255.0)


def test_the_same_generator_gives_the_same_colours():
    first, second, other = palette(3), palette(3), palette(4)
    drawn = [[p.colour() for _ in range(20)] for p in (first, second, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_drive_keeps_to_its_own_colours():
    one = palette(size=1)
    drawn = np.array([one.colour() for _ in range(200)])
    assert min(np.abs(drawn.mean(axis=0) - colour).max() for colour in STREET_COLOURS) < 4
    assert drawn.std(axis=0).max() < 14 * 1.3  # brightness 14, and 0.4 of it for each channel: 15.1 together


def test_variation_is_mostly_of_brightness_and_clipped():
    p = palette()
    drawn = np.array([p.vary((128.0, 128.0, 128.0), 10.0) for _ in range(3000)])
    assert drawn.mean(axis=0) == pytest.approx([128] * 3, abs=1)
    assert drawn.std(axis=0) == pytest.approx([np.hypot(10, 4)] * 3, rel=0.06)
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(100 / 116, abs=0.03)
    extreme = np.array([p.vary((255.0, 0.0, 0.0), 40.0) for _ in range(200)])
    assert (extreme.min(), extreme.max()) == (0, 255)


def test_typical_colours_come_with_their_share():
    p, usual = palette(), ((0.0, 255.0, 0.0),)
    green = [distance(p.typical(usual, 0.65), usual) < 80 for _ in range(1000)]
    assert np.mean(green) == pytest.approx(0.65, abs=0.05)
    assert all(distance(p.typical(usual, 1.0), usual) < 80 for _ in range(100))
    assert not any(distance(p.typical(usual, 0.0), usual) < 80 for _ in range(100))


def test_one_of_a_table_is_near_it():
    p = palette()
    assert all(distance(p.one_of(SKIN, 8), SKIN) < 45 and distance(p.one_of(GLASS, 8), GLASS) < 45 for _ in range(100))


def test_chances_and_numbers_have_their_distribution():
    p = palette()
    assert np.mean([p.chance(0.3) for _ in range(2000)]) == pytest.approx(0.3, abs=0.04)
    drawn = [p.uniform(-2.0, 4.0) for _ in range(2000)]
    assert (min(drawn), max(drawn), np.mean(drawn)) == pytest.approx((-2, 4, 1), abs=0.15)
