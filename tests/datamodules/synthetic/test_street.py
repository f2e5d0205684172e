"""A drive is a function of its generator, and its camera moves along the road."""

import numpy as np
import pytest

from datamodules.synthetic.street import Drive

SIZE = (36, 64)


def drive(seed: int, frames: int = 3) -> Drive:
    return Drive(np.random.default_rng(seed), SIZE, frames)


def test_the_camera_moves_forwards_in_equal_steps():
    street = drive(0)
    cameras = [street.camera(frame) for frame in range(3)]
    steps = np.diff([camera.z for camera in cameras])
    assert cameras[0].z == 0
    assert steps[0] == pytest.approx(steps[1])
    assert 0.5 <= steps[0] <= 2.2
    assert street.road.travel == pytest.approx(3 * steps[0])
    assert len({camera.height for camera in cameras}) == len({camera.focal for camera in cameras}) == 1
    assert all(camera.centre == 32 and camera.size == SIZE for camera in cameras)


def test_the_horizon_lies_above_the_middle():
    for seed in range(2):
        camera = drive(seed).camera(0)
        assert 0.38 * 36 - 8 < camera.horizon < 0.5 * 36 + 8  # and two rows of pitch, four deviations


def test_the_same_generator_gives_the_same_street():
    first, second, other = drive(1), drive(1), drive(2)
    described = [[(t.label, t.x, t.z, t.heading, t.speed) for t in street.things] for street in (first, second, other)]
    assert described[0] == described[1] != described[2]
    assert (first.strips, first.camera(2)) == (second.strips, second.camera(2))
