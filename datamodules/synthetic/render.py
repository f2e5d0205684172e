"""Rendering a drive's frames: images, drawn far to near, and objects in IDD's polygon format."""

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from datamodules.synthetic.geometry import NEAR, Camera, Floats, Light, Pixels, Point, Range, Shape, rectangle
from datamodules.synthetic.street import Drive, Thing

SUBPIXEL = 4  # bits after the binary point in the coordinates that cv2 draws with
DRAWN_MARGIN = 20  # pixels outside the frame within which shapes are still drawn: blur spreads them into it
MARGIN = 96  # pixels around the frame to which outlines extend: annotators draw beyond the edge
CLOSEST = 2.0  # metres ahead of the camera, below which traffic is left out
SMALLEST = 10  # square pixels: annotators outline nothing smaller
DELETED = 0.13  # share of objects in IDD's files that are marked as deleted
SLIGHT = 32  # pixels: narrower objects may be labelled as a group, and are too small to become crops
LINED = 7.5  # metres: narrower roads have no centre line
DASH = 3.0  # metres: the length of its dashes, and of the gaps between them
GROUPED = 0.15  # share of slight objects of countable classes that are labelled as a group
COUNTABLE = ("motorcycle", "bicycle", "autorickshaw", "car", "rider", "pole")
Outline = list[list[float]]


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
    starts, radius = np.cumsum([0, *(len(ends) for ends in corners)]), np.array(radii)
    cosine, sine = np.cos(heading), np.sin(heading)
    turn = np.array([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]])
    world = np.concatenate(corners) @ turn + np.array(at)
    seen = camera.to_camera(world)
    ahead = seen[:, 2] > NEAR
    pixels = camera.project(seen)
    drawing = Drawing(fixed_point(pixels), [])
    reach = radius.max() * camera.focal / max(seen[:, 2].min(), NEAR)
    low, high = pixels.min(axis=0) - reach, pixels.max(axis=0) + reach
    aside = (high < -DRAWN_MARGIN).any() or (low > np.add(camera.size[::-1], DRAWN_MARGIN)).any()
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
        if not shown[part]:
            continue
        own = slice(starts[part], starts[part + 1])
        points = drawing.points[own]
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


def render(drive: Drive, frame: int, rng: np.random.Generator) -> tuple[Pixels, dict[str, Any]]:
    """Return an RGB image (height, width, 3) and the content of its polygon file."""
    camera = drive.camera(frame)
    height, width = drive.size
    image, objects = _backdrop(drive, camera)

    def drawn_first(thing: Thing) -> tuple[bool, float]:
        x, _, z = thing.at(frame)
        return not thing.scenery, thing.shift - float(np.hypot(x - camera.x, z - camera.z))

    _shadows(image, drive, frame)
    for thing in sorted(drive.things, key=drawn_first):
        at = thing.at(frame)
        if not thing.scenery and at[2] - camera.z < CLOSEST:
            continue
        drawing = draw(thing.shape, at, thing.heading, camera, drive.weather.light)
        if outline := _outline(drawing, drive.size):
            paint(image, drawing.steps)
            objects.append((thing.label, outline))
    image = drive.weather.expose(image, rng)
    return image, {"imgHeight": height, "imgWidth": width, "objects": _as_file(objects, rng)}


def _backdrop(drive: Drive, camera: Camera) -> tuple[Pixels, list[tuple[str, Outline]]]:
    """Draw sky, skyline and ground."""
    height, width = drive.size
    light, horizon = drive.weather.light, int(camera.horizon)
    left = int(np.clip(width / 2 + camera.yaw * camera.focal, 0, width))
    rows = np.clip(np.arange(height) + height - horizon, 0, height - 1)
    image = drive.weather.sky[rows, left : left + width].copy()
    skyline = _skyline(drive, camera)
    cv2.fillPoly(image, [np.array(skyline, dtype=np.int32)], (light.haze * 0.8).tolist(), cv2.LINE_AA)
    sky: Outline = [[0.0, 0.0], [width, 0.0], [width, horizon + 1.0], [0.0, horizon + 1.0]]
    objects = [("sky", sky), ("vegetation", skyline)]
    for label, x, ground_colour in drive.strips:
        band = _ground_rectangle(camera, x, (camera.z + 1.5, camera.z + 400.0))
        colour = light.shade(np.array([ground_colour]), np.array([[0.0, 1.0, 0.0]]), np.zeros(1), np.array([8.0]))
        paint(image, [Step(fixed_point(band), colour[0].tolist())])
        objects.append((label, np.round(band, 2).tolist()))
    road = drive.road
    if road.right - road.left > LINED:
        middle, white = (road.middle - 0.08, road.middle + 0.08), (light.ambient * 190 + 20).tolist()
        first = int(camera.z // (2 * DASH))
        for i in range(first, first + 12):
            start, stop = max(2 * DASH * i, camera.z + 1.5), 2 * DASH * i + DASH
            if stop > start:
                paint(image, [Step(fixed_point(_ground_rectangle(camera, middle, (start, stop))), white)])
    drive.weather.lay_ground(image, camera)
    return image, objects


def _ground_rectangle(camera: Camera, x: Range, z: Range) -> Floats:
    """Return the outline (4, 2) in pixels of a rectangle on the ground."""
    corners = np.array([(across, 0.0, ahead) for across, ahead in rectangle(x, z)])
    return camera.project(camera.to_camera(corners))


def _skyline(drive: Drive, camera: Camera) -> Outline:
    """Return the outline of distant tree tops along the horizon, the same in every frame of a drive."""
    width = drive.size[1]
    x = np.linspace(-width, 2 * width, 60)
    phase = drive.strips[0][2][0] + drive.strips[-1][2][1]  # a number that differs between drives
    bumps = 9 + 4 * np.sin(x / 31 + phase) + 3 * np.sin(x / 11.3 + 2 * phase) + 2 * np.sin(x / 5.1)
    top = np.column_stack([x - camera.yaw * camera.focal, camera.horizon - bumps]).round(1).tolist()
    return [*top, [2.0 * width, camera.horizon + 2.0], [-1.0 * width, camera.horizon + 2.0]]


def _shadows(image: Pixels, drive: Drive, frame: int) -> None:
    """Darken the ground beneath the objects that stand on it, in place."""
    camera = drive.camera(frame)
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    angle = np.arange(12) * (np.pi / 6)
    for thing in drive.things:
        x, _, z = thing.at(frame)
        if thing.scenery or z - camera.z < CLOSEST or thing.label in ("traffic sign", "traffic light", "rider"):
            continue
        points = thing.shape.points
        wide, long = np.abs(points[:, 0]).max() * 1.1, np.abs(points[:, 2]).max() * 1.05
        cosine, sine = np.cos(thing.heading), np.sin(thing.heading)
        a, b = wide * np.cos(angle), long * np.sin(angle)
        ring = np.column_stack([x + cosine * a + sine * b, np.zeros(12), z - sine * a + cosine * b])
        seen = camera.to_camera(ring)
        if seen[:, 2].min() > NEAR:
            cv2.fillConvexPoly(mask, np.clip(camera.project(seen), -4000, 4000).astype(np.int32), 255)
    strength = 0.45 if drive.weather.kind in ("clear", "harsh") else 0.25
    light = 255 - cv2.convertScaleAbs(cv2.GaussianBlur(mask, (0, 0), 1.6), alpha=strength)
    cv2.multiply(image, cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), dst=image, scale=1 / 255)


def _outline(drawing: Drawing, size: tuple[int, int]) -> Outline:
    """Return the outer outline of a drawing in pixels, also beyond the frame's edge; empty where it is out of view."""
    if not drawing.steps:
        return []
    height, width = size
    low, high = drawing.limits()
    low = np.maximum(np.floor(low) - 1, -MARGIN)
    high = np.minimum(np.ceil(high) + 1, (width + MARGIN, height + MARGIN))
    if (high < 4).any() or low[0] > width - 4 or low[1] > height - 4 or (high - low).min() < 2:
        return []
    mask = coverage(drawing, low, (int(high[1] - low[1]) + 1, int(high[0] - low[0]) + 1))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(np.uint8, copy=False)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < SMALLEST:
        return []
    outline = cv2.approxPolyDP(largest, 0.9, closed=True)[:, 0] + low
    inside = (outline.max(axis=0) > 0).all() and outline[:, 0].min() < width and outline[:, 1].min() < height
    return outline.round(2).tolist() if inside and len(outline) > 2 else []


def _as_file(objects: list[tuple[str, Outline]], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return the objects of a polygon file, with artefacts of annotation: deleted objects, stray clicks and groups."""
    kept: list[tuple[str, Outline, int]] = [(label, outline, 0) for label, outline in objects]
    for _ in range(round(len(objects) * DELETED / (1 - DELETED))):
        label, outline = objects[int(rng.integers(len(objects)))]
        moved = (np.array(outline) + rng.normal(0, 6, 2)).round(2).tolist()
        kept.insert(int(rng.integers(len(kept) + 1)), (label, moved, 1))
    if rng.random() < 0.25:
        label, outline = objects[int(rng.integers(len(objects)))]
        kept.append((label, outline[:2], 0))
    common = {"date": "01-Jan-2024 12:00:00", "draw": True, "user": "synthetic", "verified": 0}
    listed = []
    for i, (label, outline, deleted) in enumerate(kept):
        slight = label in COUNTABLE and np.ptp(np.array(outline), axis=0).min() < SLIGHT
        name = f"{label}group" if slight and rng.random() < GROUPED else label
        listed.append({**common, "id": i, "label": name, "polygon": outline, "deleted": deleted})
    return listed
