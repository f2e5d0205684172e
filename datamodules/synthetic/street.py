"""A drive: one street with houses, traffic and weather, recorded from a car that moves along it."""

import numpy as np

from datamodules.synthetic.geometry import Camera
from datamodules.synthetic.palette import Palette
from datamodules.synthetic.traffic import Traffic
from datamodules.synthetic.weather import Weather
from datamodules.synthetic.world import Road, ground, roadside, scenery


class Drive:
    """A street and everything in it, a pure function of the random generator.

    Attributes:
        size: (height, width) of the frames.
        weather: light, sky, and the effects of the camera.
        road: the position of the road.
        strips: the bands of ground, later ones on top.
        things: everything that stands or moves.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], frames: int) -> None:
        self.size = size
        self.weather = Weather.sample(rng, size)
        palette = Palette(rng)
        self._step = float(rng.uniform(0.5, 2.2))  # metres a frame
        self._sway = rng.normal(0.0, (0.015, 0.03, 2.0), (frames, 3))  # yaw, x, rows of pitch
        self._camera_height, self._focal = float(rng.uniform(1.25, 1.6)), size[1] * float(rng.uniform(0.78, 0.98))
        self._yaw, self._horizon = float(rng.normal(0.0, 0.06)), size[0] * float(rng.uniform(0.38, 0.5))
        self.road = Road(-float(rng.uniform(2.4, 4.5)), float(rng.uniform(3.5, 8.5)), self._step * frames)
        self.strips = ground(palette, self.road)
        traffic = Traffic(palette, self.road, self._step).fill(int(rng.integers(20, 34)))
        self.things = [*scenery(palette, self.road), *roadside(palette, self.road), *traffic]

    def camera(self, frame: int) -> Camera:
        """Return the camera of a frame."""
        yaw, x, rows = self._sway[frame]
        return Camera(
            x=x,
            height=self._camera_height,
            z=self._step * frame,
            yaw=self._yaw + yaw,
            focal=self._focal,
            centre=self.size[1] / 2,
            horizon=self._horizon + rows,
            size=self.size,
        )

    @property
    def markings(self) -> tuple[float, float]:
        """The x of the centre line and the length of its dashes in metres (0: no line)."""
        return self.road.middle, 3.0 if self.road.right - self.road.left > 7.5 else 0.0
