"""Solid shapes, a pinhole camera, a light, and the colours of a street; in metres, x to the right, y up, z forward."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]  # RGB, 0-255
Range = tuple[float, float]
Point = tuple[float, float, float]
Corners = Iterable[Sequence[float]] | Floats  # (N, 2)
TYRE: Colour = (28.0, 28.0, 30.0)
NEAR = 0.6  # metres: the near plane, in front of which faces are clipped
# Typical of Indian streets, on vehicles, clothes, coats and boards alike.
STREET_COLOURS: tuple[Colour, ...] = (
    (225, 225, 222), (240, 238, 230), (168, 170, 172), (110, 112, 116), (46, 46, 50), (30, 32, 40),
    (150, 28, 30), (196, 60, 44), (232, 170, 40), (222, 196, 60), (40, 104, 60), (92, 130, 60),
    (34, 62, 120), (70, 120, 178), (120, 78, 52), (84, 62, 50), (176, 142, 108), (206, 118, 50),
    (120, 50, 96), (60, 130, 130),
)  # fmt: skip
SKIN: tuple[Colour, ...] = ((150, 106, 78), (122, 84, 60), (96, 66, 48), (172, 128, 96))
GLASS: tuple[Colour, ...] = ((40, 48, 56), (70, 84, 94), (120, 138, 150), (30, 34, 36))
LAMP_WHITE: Colour = (244, 240, 214)
LAMP_RED: Colour = (176, 30, 26)
LAMP_AMBER: Colour = (226, 140, 30)
PLATE: Colour = (226, 222, 196)


def rectangle(a: Range, b: Range) -> list[tuple[float, float]]:
    """Return the four corners (a, b) of a rectangle in order; `a` changes first."""
    return [(a[0], b[0]), (a[1], b[0]), (a[1], b[1]), (a[0], b[1])]


def regular_polygon(corners: int, radius: float, centre: tuple[float, float], turn: float = 0.0) -> Floats:
    """Return the corners (N, 2) of a regular polygon, counter-clockwise; the first one lies at the angle `turn`."""
    angle = turn + np.arange(corners) * (2 * np.pi / corners)
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)


class Camera(NamedTuple):
    """A pinhole camera above the road; lengths in metres, `focal`, `centre` and `horizon` in pixels, `yaw` in radians."""

    x: float
    height: float
    z: float
    yaw: float
    focal: float
    centre: float
    horizon: float
    size: tuple[int, int]  # (height, width) of the frame

    def to_camera(self, points: Floats) -> Floats:
        """Transform world points (N, 3) to camera coordinates (N, 3)."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        x, y, z = points[:, 0] - self.x, points[:, 1] - self.height, points[:, 2] - self.z
        return np.stack([cosine * x - sine * z, y, sine * x + cosine * z], axis=1)

    def project(self, points: Floats) -> Floats:
        """Project points (N, 3) in camera coordinates to pixel positions (N, 2)."""
        scale = self.focal / np.maximum(points[:, 2], NEAR)
        return np.stack([self.centre + points[:, 0] * scale, self.horizon - points[:, 1] * scale], axis=1)


class Light(NamedTuple):
    """Illumination: `sun` is the unit vector towards the sun, `haze` the colour at infinite distance."""

    sun: Floats
    ambient: Floats
    diffuse: Floats
    haze: Floats
    visibility: float

    def shade(self, colours: Floats, normals: Floats, glow: Floats, distance: Floats) -> Floats:
        """Return colours (N, 3) as they appear at `distance` (N,) metres; `glow` (N,) is 1 for light sources."""
        lit = self.ambient + self.diffuse * np.maximum(normals @ self.sun, 0.0)[:, None]
        seen = colours * (lit + glow[:, None] * (1.0 - lit))
        clear = np.exp(-distance / self.visibility)[:, None]
        return np.clip(seen * clear + self.haze * (1.0 - clear), 0, 255)


class Part(NamedTuple):
    """A flat polygon of a solid, `corners` (N, 3) in order, or a capsule between two `corners`."""

    corners: Floats
    colour: Colour
    solid: int
    normal: npt.ArrayLike = (0.0, 0.8, 0.0)  # a capsule is shaded like a face that is turned to the sky
    glow: float = 0.0
    radius: float = 0.0  # of a capsule


@dataclass
class Shape:
    """An object that heads along +z: convex solids with flat details painted on them, and limbs, which are capsules."""

    faces: list[Part] = field(default_factory=list)
    limbs: list[Part] = field(default_factory=list)
    solids: int = 0

    def hull(self, profile: list[Point], colour: Colour, *, length: float = 1.0, half: float = 1.0) -> "Shape":
        """Add a solid by the convex `profile` of its side view: (z / length, y, half width / half), in either direction."""
        left = np.array([(-w, y, z) for z, y, w in profile]) * (half, 1.0, length)
        return self._prism(left, left * (-1.0, 1.0, 1.0), left.mean(axis=0) * (0.0, 1.0, 1.0), colour)

    def box(self, x: Range, y: Range, z: Range, colour: Colour) -> "Shape":
        """Add a box between the given limits."""
        corner = np.array([(a, b, c) for a in x for b in y for c in z])
        sides = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
        return self._solid([corner[list(side)] for side in sides], corner.mean(axis=0), colour)

    def wheel(self, x: Range, y: float, z: float, radius: float, hub: Colour) -> "Shape":
        """Add a tyre with its axle along x, and a `hub` on both sides."""
        ring = regular_polygon(10, radius, (z, y))[:, ::-1]
        near, far = (np.column_stack([np.full(10, side), ring]) for side in x)
        self._prism(near, far, np.array([sum(x) / 2, y, z]), TYRE)
        inner = (ring - (y, z)) * 0.55 + (y, z)
        for side in x:
            self.detail(np.column_stack([np.full(10, side), inner])[::2], (np.sign(side - sum(x) / 2), 0, 0), hub)
        return self

    def axle(self, half: float, tyre: float, y: float, z: float, radius: float, hub: Colour) -> "Shape":
        """Add two wheels of width `tyre` whose outer sides are at x = -half and half."""
        return self.wheel((-half, tyre - half), y, z, radius, hub).wheel((half - tyre, half), y, z, radius, hub)

    def detail(self, corners: npt.ArrayLike, normal: npt.ArrayLike, colour: Colour, glow: float = 0.0) -> "Shape":
        """Paint a polygon on the solid that was added last."""
        direction = np.asarray(normal, dtype=np.float64)
        direction = direction / np.linalg.norm(direction)
        self.faces.append(Part(np.asarray(corners, dtype=np.float64), colour, self.solids, direction, glow))
        return self

    def flank(self, corners: list[tuple[float, float]], x: float, colour: Colour) -> "Shape":
        """Paint a polygon of (z, y) on both flanks, at -x and x."""
        for side in (-x, x):
            self.detail([(side, y, z) for z, y in corners], (side, 0, 0), colour)
        return self

    def pane(self, z: Range, y: Range, x: float, colour: Colour) -> "Shape":
        """Paint a rectangle on both flanks, at -x and x."""
        return self.flank([(along, up) for up, along in rectangle(y, z)], x, colour)

    def end(self, corners: Corners, z: float, colour: Colour, glow: float = 0.0) -> "Shape":
        """Paint a polygon of (x, y) on the front (positive `z`) or the rear."""
        return self.detail([(x, y, z) for x, y in corners], (0, 0, 1.0 if z > 0 else -1.0), colour, glow)

    def limb(self, start: Sequence[float], end: Sequence[float], radius: float, colour: Colour) -> "Shape":
        """Add a capsule; with equal ends, a ball."""
        self.solids += 1
        self.limbs.append(Part(np.array([start, end], dtype=np.float64), colour, self.solids, radius=radius))
        return self

    def join(self, other: "Shape", offset: Sequence[float]) -> "Shape":
        """Add another shape's parts, moved by `offset`."""
        for own, parts in ((self.faces, other.faces), (self.limbs, other.limbs)):
            for part in parts:
                own.append(part._replace(corners=part.corners + offset, solid=part.solid + self.solids))
        self.solids += other.solids
        return self

    def _prism(self, near: Floats, far: Floats, middle: Floats, colour: Colour) -> "Shape":
        strips = zip(near, np.roll(near, -1, axis=0), np.roll(far, -1, axis=0), far, strict=True)
        return self._solid([near, far, *map(np.array, strips)], middle, colour)

    def _solid(self, faces: list[Floats], middle: Floats, colour: Colour) -> "Shape":
        self.solids += 1
        for corners in faces:
            normal = np.cross(corners[2] - corners[0], corners[-1] - corners[1])
            length = np.linalg.norm(normal)
            if length > 1e-9:
                outward = normal / (length if normal @ (corners[0] + corners[2] - 2 * middle) >= 0 else -length)
                self.faces.append(Part(corners, colour, self.solids, outward))
        return self

    @property
    def points(self) -> Floats:
        """The corners (N, 3) of all faces, then the ends of all limbs."""
        return np.concatenate([part.corners for part in (*self.faces, *self.limbs)])


class Palette:
    """A drive's random choice of `size` street colours, each use slightly varied."""

    def __init__(self, rng: np.random.Generator, size: int = 9) -> None:
        self.rng = rng
        self._colours = [STREET_COLOURS[i] for i in rng.choice(len(STREET_COLOURS), size, replace=False)]

    def colour(self) -> Colour:
        """Return one of the drive's colours."""
        return self.one_of(self._colours, 14)

    def typical(self, colours: tuple[Colour, ...], share: float) -> Colour:
        """Return one of `colours` with probability `share`, otherwise one of the drive's colours."""
        return self.one_of(colours, 12) if self.chance(share) else self.colour()

    def one_of(self, colours: Sequence[Colour], spread: float) -> Colour:
        """Return one of `colours`, slightly varied."""
        return self.vary(colours[int(self.rng.integers(len(colours)))], spread)

    def vary(self, colour: Colour, spread: float) -> Colour:
        """Return a similar colour; `spread` is the standard deviation of its brightness."""
        grey, red, green, blue = self.rng.normal(0.0, spread, 4) * (1.0, 0.4, 0.4, 0.4)
        return tint((colour[0] + red, colour[1] + green, colour[2] + blue), 1.0, grey)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.rng.random() < probability)

    def uniform(self, low: float, high: float) -> float:
        """Return a uniformly distributed number."""
        return float(self.rng.uniform(low, high))


def tint(colour: Colour, factor: float, offset: float = 0.0) -> Colour:
    """Scale and shift a colour, clipped to 0-255."""
    red, green, blue = (min(255.0, max(0.0, channel * factor + offset)) for channel in colour)
    return red, green, blue
