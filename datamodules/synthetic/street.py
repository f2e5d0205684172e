"""A drive: one street with traffic and weather, recorded from a car that moves along it."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from datamodules.synthetic import living, vehicles
from datamodules.synthetic.geometry import Camera, Shape
from datamodules.synthetic.palette import Palette
from datamodules.synthetic.weather import Weather
from datamodules.synthetic.world import Road, Thing, ground, roadside, scenery


class Kind(NamedTuple):
    """A class of objects on the street; lengths in metres."""

    make: Callable[[Palette], Shape]
    share: float  # relative frequency
    half_length: float  # of the occupied ground
    half_width: float
    nearest: float  # smallest distance to the camera
    depth: float  # scale of the distance beyond it, so that the size in pixels does not reveal the class


KINDS = {
    "car": Kind(vehicles.car, 0.20, 2.2, 0.9, 4.5, 1.2),
    "motorcycle": Kind(vehicles.motorcycle, 0.16, 1.1, 0.5, 3.0, 0.7),
    "bicycle": Kind(vehicles.bicycle, 0.09, 1.0, 0.45, 3.0, 0.7),
    "person": Kind(living.person, 0.18, 0.4, 0.4, 3.6, 0.9),
    "autorickshaw": Kind(vehicles.autorickshaw, 0.12, 1.5, 0.75, 4.5, 1.1),
    "truck": Kind(vehicles.truck, 0.11, 4.0, 1.2, 7.0, 1.8),
    "bus": Kind(vehicles.bus, 0.10, 5.2, 1.3, 9.0, 2.2),
    "animal": Kind(living.animal, 0.11, 1.1, 0.6, 3.2, 0.7),
    "persongroup": Kind(living.crowd, 0.02, 0.8, 1.2, 5.0, 1.0),
}
WALKERS = ("person", "persongroup", "animal")
TRIES = 12  # random places tried before an object is left out


def traffic(p: Palette, road: Road, step: float, count: int) -> list[Thing]:
    """Return about `count` objects that do not overlap, around a camera that moves `step` metres per frame."""
    things: list[Thing] = []
    occupied: list[tuple[float, float, float, float]] = []  # x, z and half the extent along each
    mix = np.array([kind.share for kind in KINDS.values()]) * p.rng.uniform(0.3, 1.7, len(KINDS))
    for label in p.rng.choice(list(KINDS), count, p=mix / mix.sum()).tolist():
        kind = KINDS[label]
        for _ in range(TRIES):
            x, z, heading, speed = _random_place(p, road, step, label)
            cosine, sine = abs(np.cos(heading)), abs(np.sin(heading))
            deep = cosine * kind.half_length + sine * kind.half_width
            wide = sine * kind.half_length + cosine * kind.half_width
            if all(abs(x - a) > wide + c or abs(z - b) > deep + d for a, b, c, d in occupied):
                occupied.append((x, z, wide, deep))
                thing = Thing(label, kind.make(p), x, z, heading, speed)
                things += [thing, *_riders(p, thing)]
                break
    return things


def _riders(p: Palette, below: Thing) -> list[Thing]:
    """Return the riders of a two-wheeler: none, one, or on a motorcycle two."""
    motor = below.label == "motorcycle"
    if below.label not in ("motorcycle", "bicycle") or not p.chance(0.7 if motor else 0.55):
        return []
    seat, reach = (0.86, 0.5) if motor else (0.96, 0.62)
    places = [(0.0, 0.25), (-0.42, 0.15)] if motor and p.chance(0.25) else [(0.0, 0.25)]
    return [
        replace(below, label="rider", shape=living.rider(p, seat=seat, reach=reach, place=place), shift=shift)
        for place, shift in places
    ]


def _random_place(p: Palette, road: Road, step: float, label: str) -> tuple[float, float, float, tuple[float, float]]:
    """Return x, z, heading and speed along the traffic, against it, across it, or beside the road."""
    kind = KINDS[label]
    half = kind.half_width
    z = kind.nearest + kind.half_length + float(p.rng.gamma(1.6, 5.0 * kind.depth))
    chances = [0.1, 0.1, 0.25, 0.55] if label in WALKERS else [0.3, 0.25, 0.17, 0.28]
    manner = p.rng.choice(["along", "against", "across", "beside"], p=chances)
    turn = p.uniform(-0.35, 0.35)
    if manner == "along":
        return p.uniform(road.left + half, road.middle), z, turn / 2, (0.0, step + p.uniform(-0.25, 0.25))
    if manner == "against":
        return p.uniform(road.middle, road.right - half), z, np.pi + turn / 2, (0.0, p.uniform(-0.5, 0.0))
    if manner == "across":
        side = 1.0 if p.chance(0.5) else -1.0
        speed = (side * p.uniform(0.0, 0.2), step * p.uniform(0.0, 0.8))
        return p.uniform(road.left, road.right), z, side * np.pi / 2 + turn * 2, speed
    side, edge = road.edges[int(p.rng.integers(2))]
    heading = float(p.rng.choice([0.0, np.pi, np.pi / 2, -np.pi / 2])) + turn
    return edge + side * (p.uniform(-0.2, 1.6) + half / 2), z + road.travel / 2, heading, (0.0, 0.0)


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
        road_users = traffic(palette, self.road, self._step, int(rng.integers(20, 34)))
        self.things = [*scenery(palette, self.road), *roadside(palette, self.road), *road_users]

    def camera(self, frame: int) -> Camera:
        """Return the camera of a frame."""
        yaw, x, rows = self._sway[frame]
        start = self._camera
        return start._replace(x=x, z=self._step * frame, yaw=start.yaw + yaw, horizon=start.horizon + rows)
