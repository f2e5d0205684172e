"""Solid shapes made of flat faces and round limbs, a pinhole camera and a light.

Axes, in metres: x to the right, y up, z forward. A shape stands at its own origin and heads along +z.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]  # RGB, 0-255
Range = tuple[float, float]
Corners = Iterable[Sequence[float]] | Floats  # (N, 2)
TYRE: Colour = (28.0, 28.0, 30.0)
NEAR = 0.6  # metres: the near plane, in front of which faces are clipped


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


class Face(NamedTuple):
    """A flat polygon of a solid; `corners` (N, 3) in order."""

    corners: Floats
    normal: Floats
    colour: Colour
    glow: float
    solid: int


class Limb(NamedTuple):
    """A capsule from `start` to `end`."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float
    colour: Colour
    solid: int


@dataclass
class Shape:
    """An object: convex solids with flat details painted on them, and limbs."""

    faces: list[Face] = field(default_factory=list)
    limbs: list[Limb] = field(default_factory=list)
    solids: int = 0

    def hull(self, profile: list[tuple[float, float, float]], colour: Colour) -> "Shape":
        """Add a solid whose side view is the convex `profile` of (z, y, half width), in either direction."""
        left = np.array([(-w, y, z) for z, y, w in profile])
        right = left * (-1.0, 1.0, 1.0)
        return self._prism(left, right, left.mean(axis=0) * (0.0, 1.0, 1.0), colour)

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
        direction = direction / math.sqrt(direction @ direction)
        self.faces.append(Face(np.asarray(corners, dtype=np.float64), direction, colour, glow, self.solids))
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

    def limb(
        self, start: tuple[float, float, float], end: tuple[float, float, float], radius: float, colour: Colour
    ) -> "Shape":
        """Add a capsule; with equal ends, a ball."""
        self.solids += 1
        self.limbs.append(Limb(start, end, radius, colour, self.solids))
        return self

    def join(self, other: "Shape", offset: tuple[float, float, float]) -> "Shape":
        """Add another shape's parts, moved by `offset`."""
        for face in other.faces:
            self.faces.append(face._replace(corners=face.corners + np.array(offset), solid=face.solid + self.solids))
        x, y, z = offset
        for limb in other.limbs:
            (a, b, c), (d, e, f) = limb.start, limb.end
            moved = limb._replace(start=(a + x, b + y, c + z), end=(d + x, e + y, f + z))
            self.limbs.append(moved._replace(solid=limb.solid + self.solids))
        self.solids += other.solids
        return self

    def _prism(self, near: Floats, far: Floats, middle: Floats, colour: Colour) -> "Shape":
        following = [*range(1, len(near)), 0]
        strips = [np.stack([near[i], near[j], far[j], far[i]]) for i, j in enumerate(following)]
        return self._solid([near, far, *strips], middle, colour)

    def _solid(self, faces: list[Floats], middle: Floats, colour: Colour) -> "Shape":
        self.solids += 1
        for corners in faces:
            (a, b, c), (d, e, f) = (corners[2] - corners[0]).tolist(), (corners[-1] - corners[1]).tolist()
            normal = np.array([b * f - c * e, c * d - a * f, a * e - b * d])
            length = math.sqrt(normal @ normal)
            if length > 1e-9:
                outward = normal / (length if normal @ (corners[0] + corners[2] - 2 * middle) >= 0 else -length)
                self.faces.append(Face(corners, outward, colour, 0.0, self.solids))
        return self

    @cached_property
    def arrays(self) -> "Arrays":
        """The finished shape as arrays, made once because a shape is drawn in several frames."""
        ends = [np.array([limb.start, limb.end]) for limb in self.limbs]
        parts: list[Face | Limb] = [*self.faces, *self.limbs]
        return Arrays(
            points=np.concatenate([*(face.corners for face in self.faces), *ends]),
            starts=np.cumsum([0, *(len(face.corners) for face in self.faces)]),
            normals=np.array([face.normal for face in self.faces]).reshape(-1, 3),
            colours=np.array([part.colour for part in parts]),
            glow=np.array([face.glow for face in self.faces]),
            radii=np.array([limb.radius for limb in self.limbs]),
            solids=np.array([part.solid for part in parts]),
        )


class Arrays(NamedTuple):
    """A shape as arrays; in `points` the limbs' two ends follow the faces' corners."""

    points: Floats
    starts: npt.NDArray[np.int64]  # where each face's corners begin; one more at the end
    normals: Floats
    colours: Floats  # of the faces, then of the limbs
    glow: Floats
    radii: Floats
    solids: npt.NDArray[np.int64]  # of each face, then of each limb
