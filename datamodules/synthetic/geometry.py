"""Solid shapes made of flat faces and round limbs, and the camera and the light they are seen by.

Axes, in metres: x to the right, y up, z forward. A shape stands at its own origin and heads along +z.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]  # RGB, 0-255

NEAR = 0.6  # metres: what is nearer to the lens is cut away


class Camera(NamedTuple):
    """A pinhole above the road; lengths in metres, `focal`, `centre` and `horizon` in pixels, `yaw` in radians."""

    x: float
    height: float
    z: float
    yaw: float
    focal: float
    centre: float
    horizon: float
    size: tuple[int, int]  # (height, width) of the frame

    def see(self, points: Floats) -> Floats:
        """World points (N, 3) -> camera points (N, 3)."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        x, y, z = points[:, 0] - self.x, points[:, 1] - self.height, points[:, 2] - self.z
        return np.stack([cosine * x - sine * z, y, sine * x + cosine * z], axis=1)

    def project(self, points: Floats) -> Floats:
        """Camera points (N, 3) in front of the lens -> pixel positions (N, 2)."""
        scale = self.focal / np.maximum(points[:, 2], NEAR)
        return np.stack([self.centre + points[:, 0] * scale, self.horizon - points[:, 1] * scale], axis=1)


class Light(NamedTuple):
    """What falls on the scene: `sun` is a unit vector towards it, `haze` the colour that distance fades into."""

    sun: Floats
    ambient: Floats
    diffuse: Floats
    haze: Floats
    visibility: float

    def shade(self, colours: Floats, normals: Floats, glow: Floats, distance: Floats) -> Floats:
        """Colours (N, 3) as they appear at `distance` (N,) metres; `glow` (N,) is 1 for what shines by itself."""
        lit = self.ambient + self.diffuse * np.maximum(normals @ self.sun, 0.0)[:, None]
        seen = colours * (lit + glow[:, None] * (1.0 - lit))
        clear = np.exp(-distance / self.visibility)[:, None]
        return np.clip(seen * clear + self.haze * (1.0 - clear), 0, 255)


class Face(NamedTuple):
    """A flat polygon of a solid, its corners in order."""

    corners: Floats
    normal: Floats
    colour: Colour
    glow: float
    solid: int


class Limb(NamedTuple):
    """A stretched ball from `start` to `end`."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float
    colour: Colour
    solid: int


@dataclass
class Shape:
    """A thing to be placed in the street: convex solids with flat details upon them, and limbs."""

    faces: list[Face] = field(default_factory=list)
    limbs: list[Limb] = field(default_factory=list)
    solids: int = 0
    _arrays: "Arrays | None" = None

    def hull(self, profile: list[tuple[float, float, float]], colour: Colour) -> "Shape":
        """Add a solid whose side view is the convex `profile` of (z, y, half width), clockwise or not."""
        left = np.array([(-w, y, z) for z, y, w in profile])
        right = left * (-1.0, 1.0, 1.0)
        middle = left.mean(axis=0) * (0.0, 1.0, 1.0)
        following = [*range(1, len(left)), 0]
        strips = [np.stack([left[i], left[j], right[j], right[i]]) for i, j in enumerate(following)]
        self._solid([left, right, *strips], middle, colour)
        return self

    def box(self, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], colour: Colour) -> "Shape":
        """Add a box between the given limits."""
        corner = np.array([(a, b, c) for a in x for b in y for c in z])
        sides = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
        self._solid([corner[list(side)] for side in sides], corner.mean(axis=0), colour)
        return self

    def wheel(self, x: tuple[float, float], y: float, z: float, radius: float, hub: Colour) -> "Shape":
        """Add a tyre with its axle along x, and a `hub` on both sides."""
        angle = np.arange(10) * (np.pi / 5)
        ring = np.stack([y + radius * np.sin(angle), z + radius * np.cos(angle)], axis=1)
        near, far = (np.column_stack([np.full(10, side), ring]) for side in x)
        following = [*range(1, 10), 0]
        treads = [np.stack([near[i], near[j], far[j], far[i]]) for i, j in enumerate(following)]
        self._solid([near, far, *treads], np.array([sum(x) / 2, y, z]), (28.0, 28.0, 30.0))
        inner = (ring - (y, z)) * 0.55 + (y, z)
        for side in x:
            self.detail(np.column_stack([np.full(10, side), inner])[::2], (np.sign(side - sum(x) / 2), 0, 0), hub)
        return self

    def detail(self, corners: npt.ArrayLike, normal: npt.ArrayLike, colour: Colour, glow: float = 0.0) -> "Shape":
        """Paint a polygon upon the solid that was added last."""
        direction = np.asarray(normal, dtype=np.float64)
        direction = direction / math.sqrt(direction @ direction)
        self.faces.append(Face(np.asarray(corners, dtype=np.float64), direction, colour, glow, self.solids))
        return self

    def flank(self, corners: list[tuple[float, float]], x: float, colour: Colour) -> "Shape":
        """Paint a polygon of (z, y) upon both flanks, at +x and -x."""
        for side in (-x, x):
            self.detail([(side, y, z) for z, y in corners], (side, 0, 0), colour)
        return self

    def end(self, corners: list[tuple[float, float]], z: float, colour: Colour, glow: float = 0.0) -> "Shape":
        """Paint a polygon of (x, y) upon the front (positive `z`) or the rear."""
        return self.detail([(x, y, z) for x, y in corners], (0, 0, 1.0 if z > 0 else -1.0), colour, glow)

    def limb(
        self, start: tuple[float, float, float], end: tuple[float, float, float], radius: float, colour: Colour
    ) -> "Shape":
        """Add a stretched ball; with equal ends, a ball."""
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

    def _solid(self, faces: list[Floats], middle: Floats, colour: Colour) -> None:
        self.solids += 1
        for corners in faces:
            (a, b, c), (d, e, f) = (corners[2] - corners[0]).tolist(), (corners[-1] - corners[1]).tolist()
            normal = np.array([b * f - c * e, c * d - a * f, a * e - b * d])
            length = math.sqrt(normal @ normal)
            if length > 1e-9:
                outward = normal / (length if normal @ (corners[0] + corners[2] - 2 * middle) >= 0 else -length)
                self.faces.append(Face(corners, outward, colour, 0.0, self.solids))

    def arrays(self) -> "Arrays":
        """Everything in a few arrays, made once: a shape is drawn in many frames."""
        if self._arrays is None:
            self._arrays = Arrays.of(self)
        return self._arrays


class Arrays(NamedTuple):
    """A shape in arrays; the limbs' two ends follow the faces' corners in `points`."""

    points: Floats
    starts: npt.NDArray[np.int64]  # where each face's corners begin; one more at the end
    normals: Floats
    colours: Floats  # of the faces, then of the limbs
    glow: Floats
    radii: Floats
    order: npt.NDArray[np.int64]  # the solid of each face, then of each limb

    @classmethod
    def of(cls, shape: Shape) -> "Arrays":
        """Gather a shape's parts."""
        ends = [np.array([limb.start, limb.end]) for limb in shape.limbs]
        parts = [*(face.corners for face in shape.faces), *ends]
        return cls(
            points=np.concatenate(parts),
            starts=np.cumsum([0, *(len(face.corners) for face in shape.faces)]),
            normals=np.array([face.normal for face in shape.faces]).reshape(-1, 3),
            colours=np.array([*(face.colour for face in shape.faces), *(limb.colour for limb in shape.limbs)]),
            glow=np.array([face.glow for face in shape.faces]),
            radii=np.array([limb.radius for limb in shape.limbs]),
            order=np.array([*(face.solid for face in shape.faces), *(limb.solid for limb in shape.limbs)]),
        )
