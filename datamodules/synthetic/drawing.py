"""Projection of shapes to the image plane, drawing them far to near, and the pixels they cover."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from datamodules.synthetic.geometry import NEAR, Camera, Floats, Light, Pixels, Shape

SUBPIXEL = 4  # bits after the binary point in the coordinates that cv2 draws with
MARGIN = 20  # pixels outside the frame within which shapes are still drawn: blur spreads them into it


class Step(NamedTuple):
    """A polygon, or with a `width` in pixels a thick line, through `points[start:stop]` of a drawing."""

    start: int
    stop: int
    colour: list[float]
    width: int


class Drawing(NamedTuple):
    """Drawing steps, far parts first; `points` (N, 2) int32 are pixel positions in fixed point."""

    points: npt.NDArray[np.int32]
    steps: list[Step]

    @classmethod
    def polygon(cls, pixels: Floats, colour: Floats) -> "Drawing":
        """Return a drawing of one convex polygon of pixel positions (N, 2)."""
        return cls(fixed_point(pixels), [Step(0, len(pixels), colour.tolist(), 0)])

    def limits(self) -> tuple[Floats, Floats]:
        """Return the lowest and the highest (x, y) in pixels that are drawn on."""
        reach = max(step.width for step in self.steps) / 2
        pixels = self.points / (1 << SUBPIXEL)
        return pixels.min(axis=0) - reach, pixels.max(axis=0) + reach


def fixed_point(pixels: Floats) -> npt.NDArray[np.int32]:
    """Convert pixel positions to cv2's fixed point with `SUBPIXEL` fractional bits, clipped to what cv2 can draw."""
    return np.clip(pixels * (1 << SUBPIXEL), -(1 << 18), 1 << 18).astype(np.int32)


def draw(shape: Shape, at: tuple[float, float, float], heading: float, camera: Camera, light: Light) -> Drawing:
    """Project a shape at the world position `at`; the drawing has no steps where the shape is out of view."""
    parts = shape.arrays
    cosine, sine = np.cos(heading), np.sin(heading)
    turn = np.array([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]])
    world = parts.points @ turn + np.array(at)
    seen = camera.to_camera(world)
    ahead = seen[:, 2] > NEAR
    pixels = camera.project(seen)
    clear = bool(ahead.all())
    reach = parts.radii.max(initial=0.0) * camera.focal / max(seen[:, 2].min(), NEAR)
    if not ahead.any() or (clear and _out_of_sight(pixels, reach, camera)):
        return Drawing(np.empty((0, 2), dtype=np.int32), [])
    faces, corners = len(parts.normals), int(parts.starts[-1])
    depth = (seen[corners::2, 2] + seen[corners + 1 :: 2, 2]) / 2
    if faces:
        of_faces = np.add.reduceat(seen[:corners, 2], parts.starts[:-1]) / np.diff(parts.starts)
        depth = np.concatenate([of_faces, depth])
    normals = parts.normals @ turn
    toward_lens = np.array((camera.x, camera.height, camera.z)) - world[parts.starts[:-1]]
    shown = np.ones(len(depth), dtype=bool)
    shown[:faces] = (normals * toward_lens).sum(axis=1) > 0
    facing_up = np.tile((0.0, 0.8, 0.0), (len(parts.radii), 1))
    glow = np.concatenate([parts.glow, np.zeros(len(parts.radii))])
    colours = light.shade(parts.colours, np.concatenate([normals, facing_up]), glow, np.maximum(depth, 0.0)).tolist()
    widths = np.maximum(1, np.round(2 * parts.radii * camera.focal / np.maximum(depth[faces:], NEAR))).astype(int)
    bounds = np.concatenate([parts.starts, np.arange(corners + 2, len(seen) + 1, 2)]).tolist()
    points, clipped = fixed_point(pixels), []
    steps = []
    used = len(points)
    for part in _far_to_near(parts.solids, depth):
        start, stop = bounds[part], bounds[part + 1]
        if not shown[part]:
            continue
        if not (clear or ahead[start:stop].all()):
            visible = _in_front(seen[start:stop])
            if part >= faces or len(visible) < 3:
                continue
            clipped.append(fixed_point(camera.project(visible)))
            start, stop = used, used + len(visible)
            used = stop
        steps.append(Step(start, stop, colours[part], int(widths[part - faces]) if part >= faces else 0))
    return Drawing(np.concatenate([points, *clipped]), steps)


def _out_of_sight(pixels: Floats, reach: float, camera: Camera) -> bool:
    """Return whether everything within `reach` pixels of the points lies on one side of the frame."""
    low, high = pixels.min(axis=0) - reach, pixels.max(axis=0) + reach
    height, width = camera.size
    return bool(high[0] < -MARGIN or high[1] < -MARGIN or low[0] > width + MARGIN or low[1] > height + MARGIN)


def _far_to_near(solid: npt.NDArray[np.int64], depth: Floats) -> list[int]:
    """Return part indices by the mean depth of their solid, far first; within a solid in the order added."""
    mean = np.bincount(solid, weights=depth) / np.maximum(np.bincount(solid), 1)
    order: list[int] = np.argsort(-mean[solid], kind="stable").tolist()
    return order


def _in_front(seen: Floats) -> Floats:
    """Clip a face (N, 3) in camera coordinates at the near plane."""
    kept: list[Floats] = []
    for here, there in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if here[2] > NEAR:
            kept.append(here)
        if (here[2] > NEAR) != (there[2] > NEAR):
            kept.append(here + (there - here) * ((NEAR - here[2]) / (there[2] - here[2])))
    return np.array(kept)


def paint(image: Pixels, drawing: Drawing) -> None:
    """Draw on an RGB image, in place."""
    for step in drawing.steps:
        _draw_step(image, drawing.points, step, step.colour, cv2.LINE_AA)


def coverage(drawing: Drawing, low: Floats, size: tuple[int, int]) -> Pixels:
    """Return a mask (H, W) of 0 and 255 of a drawing in the window of `size` whose first pixel (x, y) is `low`."""
    mask = np.zeros(size, dtype=np.uint8)
    points = drawing.points - fixed_point(low)
    for step in drawing.steps:
        _draw_step(mask, points, step, [255.0], cv2.LINE_8)
    return mask


def _draw_step(image: Pixels, points: npt.NDArray[np.int32], step: Step, colour: list[float], line_type: int) -> None:
    start, stop, _, width = step
    if width:
        cv2.line(image, points[start].tolist(), points[start + 1].tolist(), colour, width, line_type, SUBPIXEL)
    else:
        cv2.fillConvexPoly(image, points[start:stop], colour, line_type, SUBPIXEL)
