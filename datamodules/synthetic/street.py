"""A drive: one street with houses, traffic and weather, recorded from a car that moves along it."""

import numpy as np

from datamodules.synthetic.geometry import Camera
from datamodules.synthetic.palette import Palette
from datamodules.synthetic.traffic import traffic
from datamodules.synthetic.weather import Weather
from datamodules.synthetic.world import Road, ground, roadside, scenery


class Drive:
    """A street and everything in it, a pure function of the random generator; `size` is (height, width)."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], frames: int) -> None:
        self.size = size
        self.weather = Weather.sample(rng, size)
        palette = Palette(rng)
        self._step = float(rng.uniform(0.5, 2.2))  # metres a frame
        self._sway = rng.normal(0.0, (0.015, 0.03, 2.0), (frames, 3))  # yaw, x, rows of pitch
        self._camera = Camera(
            x=0.0,
            height=float(rng.uniform(1.25, 1.6)),
            z=0.0,
            focal=size[1] * float(rng.uniform(0.78, 0.98)),
            yaw=float(rng.normal(0.0, 0.06)),
            centre=size[1] / 2,
            horizon=size[0] * float(rng.uniform(0.38, 0.5)),
            size=size,
        )
        self.road = Road(-float(rng.uniform(2.4, 4.5)), float(rng.uniform(3.5, 8.5)), self._step * frames)
        self.strips = ground(palette, self.road)
        vehicles = traffic(palette, self.road, self._step, int(rng.integers(20, 34)))
        self.things = [*scenery(palette, self.road), *roadside(palette, self.road), *vehicles]

    def camera(self, frame: int) -> Camera:
        """Return the camera of a frame."""
        yaw, x, rows = self._sway[frame]
        start = self._camera
        return start._replace(x=x, z=self._step * frame, yaw=start.yaw + yaw, horizon=start.horizon + rows)
