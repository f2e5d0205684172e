"""A drive: one street with its ground, stationary objects, traffic and weather, recorded from a car that moves along it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from datamodules.synthetic import furniture, living, vehicles
from datamodules.synthetic.geometry import Camera, Colour, Palette, Point, Range, Shape
from datamodules.synthetic.weather import Weather

FAR = 65.0  # metres: the length of a street
Strip = tuple[str, Range, Colour]  # a band of ground along the street: label, x from left to right in metres, colour


@dataclass(frozen=True)
class Thing:
    """An object in the street; `heading` in radians, `speed` in metres per frame."""

    label: str
    shape: Shape
    x: float
    z: float
    heading: float
    speed: tuple[float, float] = (0.0, 0.0)  # along x and z
    shift: float = 0.0  # metres by which it counts as nearer when objects are sorted by distance
    scenery: bool = False  # houses, trees and the like, drawn before all traffic

    def at(self, frame: int) -> Point:
        """Return the world position in a frame."""
        return self.x + self.speed[0] * frame, 0.0, self.z + self.speed[1] * frame


@dataclass(frozen=True)
class Road:
    """The edges of the road, x in metres, and how far the camera travels along it."""

    left: float
    right: float
    travel: float

    @property
    def edges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(-1, x) of the left edge and (1, x) of the right edge."""
        return (-1.0, self.left), (1.0, self.right)

    @property
    def middle(self) -> float:
        """The x where oncoming traffic begins."""
        return (self.left + self.right) / 2 + 0.5

    def beside(self, p: Palette) -> float:
        """Return a random x just beside the road."""
        return self.left - p.uniform(0.3, 1.6) if p.chance(0.5) else self.right + p.uniform(0.3, 1.6)


def ground(p: Palette, road: Road) -> list[Strip]:
    """Return the bands of ground, later ones on top."""
    tone = p.uniform(70, 128)
    dirt = p.vary((150, 124, 94) if p.chance(0.6) else (112, 112, 76), 12)
    strips: list[Strip] = [("non-drivable fallback", (-60.0, 60.0), dirt)]
    for side, edge in road.edges:
        bands = []  # label, offsets from the edge, colour
        if p.chance(0.55):
            wide, kerb = p.uniform(1.2, 3.0), p.vary((176, 172, 160), 14)
            bands = [("sidewalk", 0.2, wide, p.vary((150, 140, 128), 12)), ("curb", 0.0, 0.22, kerb)]
        elif p.chance(0.7):
            bands = [("drivable fallback", 0.0, p.uniform(0.8, 2.5), p.vary(dirt, 8))]
        for label, inner, outer, colour in bands:
            left, right = sorted((edge + side * inner, edge + side * outer))
            strips.append((label, (left, right), colour))
    return [*strips, ("road", (road.left, road.right), p.vary((tone, tone, tone + 2), 6))]


def scenery(p: Palette, road: Road) -> list[Thing]:
    """Return houses, walls, fences and trees along both sides."""
    things: list[Thing] = []
    green, built = p.uniform(0.15, 0.8), p.uniform(0.3, 1.0)
    for side, edge in road.edges:
        line = edge + side * p.uniform(2.5, 5.0)
        z = -4.0
        while z < FAR + road.travel:
            long = p.uniform(5.0, 11.0)
            if p.chance(built):
                # A house's front faces +x: on the right side it is turned around, and then extends back from its z.
                front, turn = (z, 0.0) if side < 0 else (z + long, np.pi)
                house = furniture.house(p, p.uniform(6.0, 10.0), long)
                things.append(Thing("building", house, line + side * 1.5, front, turn, scenery=True))
            elif p.chance(0.5):
                kind, make = ("wall", furniture.wall) if p.chance(0.5) else ("fence", furniture.fence)
                things.append(Thing(kind, make(p, long), line, z, 0.0, scenery=True))
            for _ in range(2):
                if p.chance(green):
                    x, along = line + side * p.uniform(-1.0, 4.0), z + p.uniform(0, long)
                    things.append(Thing("vegetation", furniture.tree(p), x, along, 0.0, scenery=True))
            z += long + p.uniform(0.0, 2.0)
    return things


def roadside(p: Palette, road: Road) -> list[Thing]:
    """Return poles, billboards, traffic signs and traffic lights."""
    things: list[Thing] = []
    for _ in range(int(p.rng.integers(3, 7))):
        shape = furniture.pole(p, p.uniform(5.0, 7.5), lamp=p.chance(0.5))
        things.append(Thing("pole", shape, road.beside(p), p.uniform(5, 50), p.uniform(-0.4, 0.4)))
    for _ in range(int(p.rng.integers(0, 3))):
        x, z, heading = road.beside(p) * 1.4, p.uniform(14, 45), np.pi + p.uniform(-0.5, 0.5)
        things.append(Thing("billboard", furniture.billboard(p), x, z, heading, scenery=True))
    # Traffic lights are small: they stand nearer, otherwise hardly any would be large enough to learn from.
    signs, lights = ("traffic sign", furniture.traffic_sign, 4, 5.0), ("traffic light", furniture.traffic_light, 5, 4.5)
    for kind, make, most, near in (signs, lights):
        for _ in range(int(p.rng.integers(1, most))):
            z = near + float(p.rng.gamma(1.4, 2.6)) + road.travel * 0.7
            x, height = road.beside(p), p.uniform(1.5, 2.9)
            things.append(Thing("pole", furniture.pole(p, height + 0.4), x, z, 0.0))
            things.append(Thing(kind, make(p, height), x, z, np.pi + p.uniform(-0.7, 0.7), shift=0.3))
    return things


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
    riders = ((living.rider(p, seat=seat, reach=reach, place=place), shift) for place, shift in places)
    return [replace(below, label="rider", shape=shape, shift=shift) for shape, shift in riders]


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
