"""What a street is made of, and everything in it that stays where it is."""

from dataclasses import dataclass

import numpy as np

from datamodules.synthetic import furniture
from datamodules.synthetic.geometry import Colour, Shape
from datamodules.synthetic.palette import Palette

FAR = 65.0  # metres up to which a street is built


@dataclass(frozen=True)
class Thing:
    """Something that stands or moves in the street; `heading` in radians, speeds in metres a frame."""

    label: str
    shape: Shape
    x: float
    z: float
    heading: float
    speed: tuple[float, float] = (0.0, 0.0)  # along x and z
    shift: float = 0.0  # moved this much towards the viewer when things are sorted by distance
    scenery: bool = False  # houses, trees and the like, behind all traffic

    def at(self, frame: int) -> tuple[float, float, float]:
        """World position in a frame."""
        return self.x + self.speed[0] * frame, 0.0, self.z + self.speed[1] * frame


@dataclass(frozen=True)
class Strip:
    """A band of ground along the street, from x = `left` to `right` in metres."""

    label: str
    left: float
    right: float
    colour: Colour

    @classmethod
    def beside(cls, label: str, edge: float, reach: tuple[float, float], colour: Colour) -> "Strip":
        """A band that lies `reach` away from an edge, to either side."""
        left, right = sorted(edge + offset for offset in reach)
        return cls(label, left, right, colour)


@dataclass(frozen=True)
class Road:
    """Where the road lies, x in metres, and how far the camera drives along it."""

    left: float
    right: float
    travel: float

    @property
    def edges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(-1, x) of the left edge and (+1, x) of the right one."""
        return (-1.0, self.left), (1.0, self.right)

    @property
    def middle(self) -> float:
        """Where oncoming traffic begins."""
        return (self.left + self.right) / 2 + 0.5

    def beside(self, p: Palette) -> float:
        """Some x just off the road."""
        return self.left - p.between(0.3, 1.6) if p.chance(0.5) else self.right + p.between(0.3, 1.6)


def ground(p: Palette, road: Road) -> list[Strip]:
    """The bands of ground, later ones on top."""
    tone = p.between(70, 128)
    dirt = p.near((150, 124, 94) if p.chance(0.6) else (112, 112, 76), 12)
    strips = [Strip("non-drivable fallback", -60.0, 60.0, dirt)]
    for side, edge in road.edges:
        if p.chance(0.55):
            wide, kerb = p.between(1.2, 3.0), p.near((176, 172, 160), 14)
            paved = p.near((150, 140, 128), 12)
            strips.append(Strip.beside("sidewalk", edge, (side * 0.2, side * wide), paved))
            strips.append(Strip.beside("curb", edge, (0.0, side * 0.22), kerb))
        elif p.chance(0.7):
            reach = (0.0, side * p.between(0.8, 2.5))
            strips.append(Strip.beside("drivable fallback", edge, reach, p.near(dirt, 8)))
    return [*strips, Strip("road", road.left, road.right, p.near((tone, tone, tone + 2), 6))]


def scenery(p: Palette, road: Road) -> list[Thing]:
    """Houses, walls, fences and trees along both sides."""
    things: list[Thing] = []
    green, built = p.between(0.15, 0.8), p.between(0.3, 1.0)
    for side, edge in road.edges:
        line = edge + side * p.between(2.5, 5.0)
        z = -4.0
        while z < FAR + road.travel:
            long = p.between(5.0, 11.0)
            if p.chance(built):
                # A house's front looks to +x: on the right side it is turned around, and then reaches back from its z.
                front, turn = (z, 0.0) if side < 0 else (z + long, np.pi)
                house = furniture.house(p, p.between(6.0, 10.0), long)
                things.append(Thing("building", house, line + side * 1.5, front, turn, scenery=True))
            elif p.chance(0.5):
                kind, make = ("wall", furniture.wall) if p.chance(0.5) else ("fence", furniture.fence)
                things.append(Thing(kind, make(p, long), line, z, 0.0, scenery=True))
            for _ in range(2):
                if p.chance(green):
                    x, along = line + side * p.between(-1.0, 4.0), z + p.between(0, long)
                    things.append(Thing("vegetation", furniture.tree(p), x, along, 0.0, scenery=True))
            z += long + p.between(0.0, 2.0)
    return things


def roadside(p: Palette, road: Road) -> list[Thing]:
    """Poles, billboards, signs and lights."""
    things: list[Thing] = []
    for _ in range(int(p.rng.integers(3, 7))):
        shape = furniture.pole(p, p.between(5.0, 7.5), lamp=p.chance(0.5))
        things.append(Thing("pole", shape, road.beside(p), p.between(5, 50), p.between(-0.4, 0.4)))
    for _ in range(int(p.rng.integers(0, 3))):
        x, z, heading = road.beside(p) * 1.4, p.between(14, 45), np.pi + p.between(-0.5, 0.5)
        things.append(Thing("billboard", furniture.billboard(p), x, z, heading, scenery=True))
    # Lights are small: they stand nearer, or hardly any would be large enough to be learnt from.
    for kind, make, most, near in (
        ("traffic sign", furniture.traffic_sign, 4, 5.0),
        ("traffic light", furniture.traffic_light, 5, 4.5),
    ):
        for _ in range(int(p.rng.integers(1, most))):
            z = near + float(p.rng.gamma(1.4, 2.6)) + road.travel * 0.7
            x, height = road.beside(p), p.between(1.5, 2.9)
            things.append(Thing("pole", furniture.pole(p, height + 0.4), x, z, 0.0))
            things.append(Thing(kind, make(p, height), x, z, np.pi + p.between(-0.7, 0.7), shift=0.3))
    return things
