"""Projection of shapes to the image plane, drawing them far to near, and the pixels they cover."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from datamodules.synthetic.geometry import NEAR, Camera, Floats, Light, Pixels, Point, Shape

SUBPIXEL = 4  # bits after the binary point in the coordinates that cv2 draws with
MARGIN = 20  # pixels outside the frame within which shapes are still drawn: blur spreads them into it


class Step(NamedTuple):
    """A filled convex polygon, or with a `width` in pixels a thick line; `points` (N, 2) int32 in fixed point."""

    points: npt.NDArray[np.int32]
    colour: list[float]
    width: int = 0


class Drawing(NamedTuple):
    """Drawing steps, far parts first; `points` (N, 2) are the corners of all parts, also of hidden ones."""

    points: npt.NDArray[np.int32]
    steps: list[Step]

    def limits(self) -> tuple[Floats, Floats]:
        """Return the lowest and the highest (x, y) in pixels that are drawn on."""
        reach = max(step.width for step in self.steps) / 2
        pixels = np.concatenate([self.points, *(step.points for step in self.steps)]) / (1 << SUBPIXEL)
        return pixels.min(axis=0) - reach, pixels.max(axis=0) + reach


def fixed_point(pixels: Floats) -> npt.NDArray[np.int32]:
    """Convert pixel positions to cv2's fixed point with `SUBPIXEL` fractional bits, clipped to what cv2 can draw."""
    return np.clip(pixels * (1 << SUBPIXEL), -(1 << 18), 1 << 18).astype(np.int32)


def draw(shape: Shape, at: Point, heading: float, camera: Camera, light: Light) -> Drawing:
    """Project a shape at the world position `at`; the drawing has no steps where the shape is out of view."""
    corners, colours, solids, normals, glow, radii = map(list, zip(*shape.faces, *shape.limbs, strict=True))
    cosine, sine = np.cos(heading), np.sin(heading)
    turn = np.array([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]])
    starts = np.cumsum([0, *(len(ends) for ends in corners)])
    world = np.concatenate(corners) @ turn + np.array(at)
    seen = camera.to_camera(world)
    ahead = seen[:, 2] > NEAR
    pixels = camera.project(seen)
    drawing = Drawing(fixed_point(pixels), [])
    radius = np.array(radii)
    reach = radius.max() * camera.focal / max(seen[:, 2].min(), NEAR)
    low, high = pixels.min(axis=0) - reach, pixels.max(axis=0) + reach
    aside = (high < -MARGIN).any() or (low > np.add(camera.size[::-1], MARGIN)).any()
    if not ahead.any() or (ahead.all() and aside):
        return drawing
    depth = np.add.reduceat(seen[:, 2], starts[:-1]) / np.diff(starts)
    turned = np.array(normals) @ turn
    toward_lens = np.array((camera.x, camera.height, camera.z)) - world[starts[:-1]]
    shown = ((turned * toward_lens).sum(axis=1) > 0) | (radius > 0)
    shades = light.shade(np.array(colours), turned, np.array(glow), np.maximum(depth, 0.0)).tolist()
    widths = np.maximum(np.round(2 * radius * camera.focal / np.maximum(depth, NEAR)), radius > 0).astype(int)
    mean_depth = np.bincount(solids, weights=depth) / np.maximum(np.bincount(solids), 1)
    # Far solids first; the parts of one solid keep their order.
    for part in np.argsort(-mean_depth[solids], kind="stable").tolist():
        own = slice(starts[part], starts[part + 1])
        points = drawing.points[own]
        if not shown[part]:
            continue
        if not ahead[own].all():
            visible = _in_front(seen[own])
            if widths[part] or len(visible) < 3:
                continue
            points = fixed_point(camera.project(visible))
        drawing.steps.append(Step(points, shades[part], int(widths[part])))
    return drawing


def _in_front(seen: Floats) -> Floats:
    """Clip a face (N, 3) in camera coordinates at the near plane."""
    kept: list[Floats] = []
    for here, there in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if here[2] > NEAR:
            kept.append(here)
        if (here[2] > NEAR) != (there[2] > NEAR):
            kept.append(here + (there - here) * ((NEAR - here[2]) / (there[2] - here[2])))
    return np.array(kept)


def paint(image: Pixels, steps: list[Step], line_type: int = cv2.LINE_AA) -> None:
    """Draw on an image of as many channels as the colours have, in place."""
    for points, colour, width in steps:
        if width:
            cv2.line(image, points[0].tolist(), points[1].tolist(), colour, width, line_type, SUBPIXEL)
        else:
            cv2.fillConvexPoly(image, points, colour, line_type, SUBPIXEL)


def coverage(drawing: Drawing, low: Floats, size: tuple[int, int]) -> Pixels:
    """Return a mask (H, W) of 0 and 255 of a drawing in the window of `size` whose first pixel (x, y) is `low`."""
    mask = np.zeros(size, dtype=np.uint8)
    corner = fixed_point(low)
    paint(mask, [Step(points - corner, [255.0], width) for points, _, width in drawing.steps], cv2.LINE_8)
    return mask
