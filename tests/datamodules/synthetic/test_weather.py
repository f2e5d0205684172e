"""The light of a drive, and the effects of lens and sensor."""

from dataclasses import replace

import numpy as np
import pytest

from datamodules.synthetic.geometry import Camera
from datamodules.synthetic.weather import KINDS, Weather, speckle

SIZE = (36, 64)
CAMERA = Camera(x=0, height=1.5, z=0, yaw=0, focal=50, centre=32, horizon=16, size=SIZE)


@pytest.fixture(scope="module")
def weather():
    return Weather.sample(np.random.default_rng(0), SIZE)


@pytest.fixture(scope="module")
def neutral(weather):
    """A camera without blur, noise and tone, in dry weather."""
    levels = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    return replace(weather, kind="clear", blur=0.01, noise=np.full_like(weather.noise, 128), tone=levels)


def test_speckle_has_the_deviation_of_its_layers():
    fine = speckle(np.random.default_rng(0), (200, 300), [(1, 5.0)])
    assert fine.mean() == pytest.approx(0, abs=0.1)
    assert 4 < fine.std() < 5  # interpolation between grains takes a little of it
    coarse = speckle(np.random.default_rng(0), (200, 300), [(20, 5.0)])
    assert coarse.shape == (200, 300)
    assert np.abs(np.diff(coarse)).mean() < 0.2 * np.abs(np.diff(fine)).mean()  # grains of 20 pixels are smooth


def test_a_weather_follows_its_generator(weather):
    again, other = (Weather.sample(np.random.default_rng(seed), SIZE) for seed in (0, 1))
    for name in ("sky", "ground", "noise", "tone"):
        assert np.array_equal(getattr(weather, name), getattr(again, name))
        assert not np.array_equal(getattr(weather, name), getattr(other, name))


def test_its_images_have_their_sizes(weather):
    assert weather.sky.shape == (36, 2 * 64, 3)  # a panorama
    assert weather.noise.shape == (36 + 64, 64 + 64, 3)
    assert (weather.tone.shape, weather.tone[0].tolist()) == ((256, 3), [0, 0, 0])
    assert (np.diff(weather.tone.astype(int), axis=0) >= 0).all()


def test_the_sun_stands_above_the_horizon_in_any_kind_of_weather():
    found = [Weather.sample(np.random.default_rng(seed), SIZE) for seed in range(6)]
    assert len({one.kind for one in found}) >= 3
    for one in found:
        assert one.kind in KINDS
        assert np.linalg.norm(one.light.sun) == pytest.approx(1)
        assert np.sin(0.3) <= one.light.sun[1] <= np.sin(1.1)
        assert one.blur <= (1.4 if one.kind == "rain" else 0.9)


def test_the_ground_is_textured_below_the_horizon_alone(weather):
    image = np.full((*SIZE, 3), 100, dtype=np.uint8)
    weather.lay_ground(image, CAMERA)
    assert (image[:18] == 100).all()
    assert (image[18:] != 100).any()
    plain = np.full((*SIZE, 3), 100, dtype=np.uint8)
    replace(weather, ground=np.full_like(weather.ground, 64)).lay_ground(plain, CAMERA)
    assert (plain[18:] == 50).all()  # 128 is neutral


def test_the_texture_is_seen_in_perspective(weather):
    # A stripe of 0.6 m across the road, 1.8 m away on the ground: rows 16 + 50 * 1.5 / z for z from 2.4 to 3 m.
    texture = np.full_like(weather.ground, 128)
    texture[40:50] = 0
    image = np.full((*SIZE, 3), 100, dtype=np.uint8)
    replace(weather, ground=texture).lay_ground(image, CAMERA._replace(horizon=0.0))
    dark = np.flatnonzero(image[:, 32, 0] < 50)
    assert (dark.min(), dark.max()) == pytest.approx((50 * 1.5 / 3.0, 50 * 1.5 / 2.4), abs=1)


def test_exposure_scales_by_seven_percent_at_most_and_keeps_its_input(neutral):
    image = np.full((*SIZE, 3), 100, dtype=np.uint8)
    seen = neutral.expose(image, np.random.default_rng(0))
    assert np.ptp(seen) == 0
    assert 93 - 1 <= seen[0, 0, 0] <= 107
    assert (image == 100).all()


def test_noise_is_added_around_its_neutral_value(neutral):
    image = np.full((*SIZE, 3), 100, dtype=np.uint8)
    plain = neutral.expose(image, np.random.default_rng(0))
    brighter = replace(neutral, noise=np.full_like(neutral.noise, 138)).expose(image, np.random.default_rng(0))
    assert (brighter.astype(int) - plain == 10).all()


def test_rain_draws_lighter_streaks(neutral):
    image = np.zeros((360, 640, 3), dtype=np.uint8)
    noise = np.full((424, 704, 3), 128, dtype=np.uint8)
    wet = replace(neutral, kind="rain", noise=noise).expose(image, np.random.default_rng(0))
    assert 0.005 < (wet > 8).mean() < 0.2  # 110 streaks, a few pixels wide and 8 to 26 long
