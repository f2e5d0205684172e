"""Signs, lights, poles, boards, trees, houses, walls and fences; lengths in metres."""

import numpy as np

from datamodules.synthetic.geometry import Colour, Floats, Shape
from datamodules.synthetic.palette import LAMP_AMBER, LAMP_RED, Palette, tint

STEEL: Colour = (120, 122, 124)
CONCRETE: Colour = (142, 138, 130)
LAMP_GREEN: Colour = (40, 190, 110)
BORDERS: tuple[Colour, ...] = ((190, 34, 34), (30, 70, 150), (232, 228, 220))
FIELDS: tuple[Colour, ...] = ((234, 232, 226), (30, 70, 150), (226, 190, 60))
INKS: tuple[Colour, ...] = ((30, 30, 32), (234, 232, 226), (190, 34, 34))
BOARDS: tuple[Colour, ...] = ((24, 100, 62), (30, 70, 150), (232, 228, 220))
HOUSINGS: tuple[Colour, ...] = ((34, 34, 36), (40, 44, 42), (206, 166, 50))
BARK: Colour = (84, 68, 54)
GREENS: tuple[Colour, ...] = ((62, 88, 40), (46, 70, 34), (92, 108, 50), (74, 96, 60), (110, 112, 60))


def pole(p: Palette, height: float, *, lamp: bool = False) -> Shape:
    """A post, with `lamp` a street lamp's arm at its top."""
    colour = p.near(STEEL if p.chance(0.6) else CONCRETE, 18)
    shape = Shape().limb((0, 0, 0), (0, height, 0), 0.06 if height < 4 else 0.1, colour)
    if lamp:
        shape.limb((0, height, 0), (p.between(-1.6, 1.6), height + 0.5, 0), 0.05, colour)
    return shape


def traffic_sign(p: Palette, height: float) -> Shape:
    """A plate, or a direction board, whose lower edge is `height` above the ground."""
    if p.chance(0.45):
        return _direction_board(p, height)
    corners, radius = int(p.rng.choice([3, 4, 4, 8, 20, 20])), p.between(0.38, 0.62)
    turn = {3: np.pi / 2, 4: np.pi / 4 if p.chance(0.6) else 0.0, 8: np.pi / 8}.get(corners, 0.0)
    if corners == 3 and p.chance(0.3):
        turn += np.pi
    angle = turn + np.arange(corners) * (2 * np.pi / corners)
    ring = np.stack([radius * np.cos(angle), height + radius + radius * np.sin(angle)], axis=1)
    border, field, ink = p.usual(BORDERS, 0.6), p.usual(FIELDS, 0.6), p.usual(INKS, 0.6)
    shape = Shape()
    _plate(shape, ring, border, tint(STEEL, 0.8))
    middle = ring.mean(axis=0)
    inner = (ring - middle) * 0.78 + middle
    shape.detail(np.column_stack([inner, np.full(corners, 0.03)]), (0, 0, 1), field)
    for _ in range(int(p.rng.integers(1, 4))):
        across, up = p.between(-0.3, 0.3) * radius, p.between(-0.25, 0.25) * radius
        wide, tall = p.between(0.08, 0.35) * radius, p.between(0.1, 0.4) * radius
        box = [
            (across - wide, up - tall),
            (across + wide, up - tall),
            (across + wide * p.between(0, 1), up + tall),
            (across - wide, up + tall),
        ]
        shape.detail([(middle[0] + x, middle[1] + y, 0.03) for x, y in box], (0, 0, 1), ink)
    return shape


def _plate(shape: Shape, ring: Floats, front: Colour, back: Colour) -> None:
    """Two sheets, back to back, along the (x, y) corners `ring`."""
    shape.solids += 1
    shape.detail(np.column_stack([ring, np.full(len(ring), 0.03)]), (0, 0, 1), front)
    shape.detail(np.column_stack([ring, np.full(len(ring), -0.03)]), (0, 0, -1), back)


def _direction_board(p: Palette, height: float) -> Shape:
    half, tall = p.between(0.25, 1.2), p.between(0.4, 1.6)
    field, ink = p.usual(BOARDS, 0.6), p.usual(FIELDS, 0.6)
    ring = np.array([(-half, height), (half, height), (half, height + tall), (-half, height + tall)])
    shape = Shape()
    _plate(shape, ring, field, tint(STEEL, 0.8))
    lines = int(p.rng.integers(2, 5))
    for i in range(lines):
        y = height + tall * (i + 0.3) / lines
        start, stop = p.between(-0.88, -0.3) * half, p.between(0.1, 0.88) * half
        shape.detail(
            [
                (start, y, 0.03),
                (stop, y, 0.03),
                (stop, y + tall * 0.4 / lines, 0.03),
                (start, y + tall * 0.4 / lines, 0.03),
            ],
            (0, 0, 1),
            ink,
        )
    return shape


def traffic_light(p: Palette, height: float) -> Shape:
    """Three lamps in a housing, upright or lying, one of them lit; with or without a back plate."""
    upright, size = p.chance(0.75), p.between(0.3, 0.44)
    lit = int(p.rng.integers(3))
    long, short = 3.2 * size, 1.15 * size
    half, tall = (short / 2, long) if upright else (long / 2, short)
    housing = p.usual(HOUSINGS, 0.65)
    shape = Shape()
    if p.chance(0.35):
        ring = np.array(
            [
                (-half - 0.15, height - 0.15),
                (half + 0.15, height - 0.15),
                (half + 0.15, height + tall + 0.15),
                (-half - 0.15, height + tall + 0.15),
            ]
        )
        back = p.paint()
        _plate(shape, ring, back, back)
    shape.box((-half, half), (height, height + tall), (0.05, 0.3), housing)
    angle = np.arange(10) * (np.pi / 5)
    for i, colour in enumerate((LAMP_GREEN, LAMP_AMBER, LAMP_RED)):
        along = (i + 0.5) * long / 3
        x, y = (0.0, height + along) if upright else (along - long / 2, height + short / 2)
        ring = np.column_stack([x + 0.42 * size * np.cos(angle), y + 0.42 * size * np.sin(angle), np.full(10, 0.31)])
        shape.detail(ring, (0, 0, 1), tint(colour, 1.15) if i == lit else tint(colour, 0.25), 1.0 if i == lit else 0.0)
    return shape


def billboard(p: Palette) -> Shape:
    """An advertisement of coloured patches and lines of text upon two posts."""
    half, low, tall = p.between(1.5, 3.2), p.between(2.5, 4.5), p.between(1.5, 3.0)
    shape = Shape()
    for side in (-1, 1):
        shape.limb((side * half * 0.7, 0, -0.1), (side * half * 0.7, low + tall, -0.1), 0.08, STEEL)
    ring = np.array([(-half, low), (half, low), (half, low + tall), (-half, low + tall)])
    _plate(shape, ring, p.paint(), tint(STEEL, 0.7))
    for _ in range(int(p.rng.integers(4, 10))):
        x, y = p.between(-half * 0.9, half * 0.6), low + p.between(0.05, 0.8) * tall
        wide, high = p.between(0.1, 0.5) * half, p.between(0.05, 0.4) * tall
        right, top = min(x + wide, half * 0.95), min(y + high, low + tall * 0.95)
        shape.detail([(x, y, 0.03), (right, y, 0.03), (right, top, 0.03), (x, top, 0.03)], (0, 0, 1), p.paint())
    return shape


def tree(p: Palette) -> Shape:
    """A crown of leaves, a palm or a low bush."""
    kind = p.rng.choice(["crown", "palm", "bush"], p=[0.6, 0.15, 0.25])
    green = p.near(GREENS[int(p.rng.integers(len(GREENS)))], 12)
    height = p.between(3.5, 7.0)
    shape = Shape()
    if kind == "palm":
        lean = p.between(-0.8, 0.8)
        shape.limb((0, 0, 0), (lean, height, 0), 0.14, p.near(BARK, 10))
        for angle in np.linspace(0, 2 * np.pi, 13)[:-1]:
            x, z = float(np.cos(angle)), float(np.sin(angle))
            middle = (lean + 0.9 * x, height + 0.4, 0.9 * z)
            shape.limb((lean, height, 0), middle, 0.12, p.near(green, 10))
            shape.limb(middle, (lean + 1.9 * x, height - 0.3, 1.9 * z), 0.09, p.near(green, 14))
        return shape
    spread, low = (p.between(1.2, 2.4), height * 0.65) if kind == "crown" else (p.between(0.5, 1.0), 0.5)
    if kind == "crown":
        shape.limb((0, 0, 0), (p.between(-0.3, 0.3), low, 0), p.between(0.1, 0.22), p.near(BARK, 10))
    for _ in range(34):
        x, y, z = p.rng.normal(0.0, (spread * 0.5, spread * 0.36, spread * 0.4))
        at = (float(x), max(0.3, low + float(y)), float(z))
        light = 0.8 + 0.35 * (float(y) / spread + 0.4)
        shape.limb(at, at, spread * p.between(0.12, 0.3), tint(p.near(green, 12), light))
    return shape


def house(p: Palette, width: float, length: float) -> Shape:
    """A building with its street front at +x, from z = 0 to `length`, and a shop at its foot."""
    floors = int(p.rng.integers(1, 5))
    storey = p.between(2.8, 3.4)
    height = floors * storey + 0.5
    wall, pane, frame = p.near(p.paint(), 16), p.glass(), p.paint()
    shape = Shape().box((-width, 0.0), (0.0, height), (0.0, length), tint(wall, 0.9))
    bays = max(1, round(length / p.between(2.0, 3.2)))
    pitch, inset = length / bays, p.between(0.15, 0.3)
    for storey_number in range(floors):
        low = storey_number * storey + 0.9
        for bay in range(bays):
            z = bay * pitch
            if storey_number == 0 and p.chance(0.6):
                _shop(shape, p, (z + 0.2, z + pitch - 0.2), storey)
                continue
            near, far = z + pitch * inset, z + pitch * (1 - inset)
            shape.detail(
                [(0, low, near), (0, low, far), (0, low + 1.4, far), (0, low + 1.4, near)],
                (1, 0, 0),
                pane if p.chance(0.8) else frame,
            )
        for bay in range(max(1, round(width / 3.5))):
            x = -width + (bay + 0.3) * 3.5
            if x + 1.3 < 0:
                shape.detail(
                    [(x, low, 0), (x + 1.3, low, 0), (x + 1.3, low + 1.4, 0), (x, low + 1.4, 0)], (0, 0, -1), pane
                )
        if p.chance(0.4):
            slab = storey_number * storey + 0.3
            shape.box((0.0, 0.7), (slab, slab + 0.15), (0.2, length - 0.2), frame)
    return shape


def _shop(shape: Shape, p: Palette, z: tuple[float, float], storey: float) -> None:
    """A shutter or a dark door with a sign board above it."""
    near, far = z
    opening = p.paint() if p.chance(0.4) else (36.0, 34.0, 34.0)
    shape.detail([(0, 0.1, near), (0, 0.1, far), (0, 2.1, far), (0, 2.1, near)], (1, 0, 0), opening)
    shape.detail([(0, 2.2, near), (0, 2.2, far), (0, storey, far), (0, storey, near)], (1, 0, 0), p.paint())
    ink = p.paint()
    shape.detail(
        [(0, 2.4, near + 0.2), (0, 2.4, far - 0.3), (0, storey - 0.25, far - 0.3), (0, storey - 0.25, near + 0.2)],
        (1, 0, 0),
        ink,
    )


def wall(p: Palette, length: float) -> Shape:
    """A wall along z, perhaps with painted patches."""
    height = p.between(1.0, 2.2)
    shape = Shape().box((-0.12, 0.12), (0.0, height), (0.0, length), p.near(p.paint(), 16))
    for _ in range(int(p.rng.integers(0, 4))):
        z = p.between(0.0, length * 0.8)
        stop = min(length, z + p.between(0.4, 1.5))
        shape.flank(
            [(z, height * 0.2), (stop, height * 0.2), (stop, height * 0.85), (z, height * 0.85)], 0.12, p.paint()
        )
    return shape


def fence(p: Palette, length: float) -> Shape:
    """Posts and rails along z."""
    height, colour = p.between(0.9, 1.5), p.paint()
    shape = Shape()
    for z in np.arange(0.0, length, 0.8):
        shape.limb((0, 0, float(z)), (0, height, float(z)), 0.03, colour)
    for y in (height * 0.35, height * 0.95):
        shape.limb((0, y, 0), (0, y, length), 0.025, colour)
    return shape
