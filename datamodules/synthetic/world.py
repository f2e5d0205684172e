"""The ground and the stationary objects of a street."""

from dataclasses import dataclass

import numpy as np

from datamodules.synthetic import furniture
from datamodules.synthetic.geometry import Colour, Point, Range, Shape
from datamodules.synthetic.palette import Palette

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
