"""Signs, traffic lights, poles, billboards, trees, houses, walls and fences; lengths in metres."""

import numpy as np

from datamodules.synthetic.geometry import (
    GLASS,
    LAMP_AMBER,
    LAMP_RED,
    Colour,
    Corners,
    Palette,
    Range,
    Shape,
    rectangle,
    regular_polygon,
    tint,
)

STEEL: Colour = (120, 122, 124)
CONCRETE: Colour = (142, 138, 130)
PLATE_Z = 0.03  # half the distance between the two faces of a sign
LAMP_GREEN: Colour = (40, 190, 110)
BORDERS: tuple[Colour, ...] = ((190, 34, 34), (30, 70, 150), (232, 228, 220))
FIELDS: tuple[Colour, ...] = ((234, 232, 226), (30, 70, 150), (226, 190, 60))
INKS: tuple[Colour, ...] = ((30, 30, 32), (234, 232, 226), (190, 34, 34))
BOARDS: tuple[Colour, ...] = ((24, 100, 62), (30, 70, 150), (232, 228, 220))
HOUSINGS: tuple[Colour, ...] = ((34, 34, 36), (40, 44, 42), (206, 166, 50))
ENTRANCE: Colour = (36, 34, 34)
BARK: Colour = (84, 68, 54)
GREENS: tuple[Colour, ...] = ((62, 88, 40), (46, 70, 34), (92, 108, 50), (74, 96, 60), (110, 112, 60))


def pole(p: Palette, height: float, *, lamp: bool = False) -> Shape:
    """Return a post, with `lamp` with the arm of a street lamp."""
    colour = p.vary(STEEL if p.chance(0.6) else CONCRETE, 18)
    shape = Shape().limb((0, 0, 0), (0, height, 0), 0.06 if height < 4 else 0.1, colour)
    if lamp:
        shape.limb((0, height, 0), (p.uniform(-1.6, 1.6), height + 0.5, 0), 0.05, colour)
    return shape


def traffic_sign(p: Palette, height: float) -> Shape:
    """Return a sign plate or a direction board whose lower edge is `height` above the ground."""
    if p.chance(0.45):
        return _direction_board(p, height)
    corners, radius = int(p.rng.choice([3, 4, 4, 8, 20, 20])), p.uniform(0.38, 0.62)
    turn = {3: np.pi / 2, 4: np.pi / 4 if p.chance(0.6) else 0.0, 8: np.pi / 8}.get(corners, 0.0)
    if corners == 3 and p.chance(0.3):
        turn += np.pi
    ring = regular_polygon(corners, radius, (0.0, height + radius), turn)
    border, field, ink = p.typical(BORDERS, 0.6), p.typical(FIELDS, 0.6), p.typical(INKS, 0.6)
    shape = _plate(Shape(), ring, border, tint(STEEL, 0.8))
    middle = ring.mean(axis=0)
    shape.end((ring - middle) * 0.78 + middle, PLATE_Z, field)
    for _ in range(int(p.rng.integers(1, 4))):
        across, up = p.uniform(-0.3, 0.3) * radius, p.uniform(-0.25, 0.25) * radius
        wide, tall = p.uniform(0.08, 0.35) * radius, p.uniform(0.1, 0.4) * radius
        right = across + wide * p.uniform(0, 1)
        glyph = [(across - wide, up - tall), (across + wide, up - tall), (right, up + tall), (across - wide, up + tall)]
        shape.end(middle + glyph, PLATE_Z, ink)
    return shape


def _plate(shape: Shape, corners: Corners, front: Colour, back: Colour) -> Shape:
    """Add two sheets back to back, outlined by (x, y) corners."""
    shape.solids += 1
    return shape.end(corners, PLATE_Z, front).end(corners, -PLATE_Z, back)


def _direction_board(p: Palette, height: float) -> Shape:
    half, tall = p.uniform(0.25, 1.2), p.uniform(0.4, 1.6)
    field, ink = p.typical(BOARDS, 0.6), p.typical(FIELDS, 0.6)
    shape = _plate(Shape(), rectangle((-half, half), (height, height + tall)), field, tint(STEEL, 0.8))
    lines = int(p.rng.integers(2, 5))
    for i in range(lines):
        y = height + tall * (i + 0.3) / lines
        start, stop = p.uniform(-0.88, -0.3) * half, p.uniform(0.1, 0.88) * half
        shape.end(rectangle((start, stop), (y, y + tall * 0.4 / lines)), PLATE_Z, ink)
    return shape


def traffic_light(p: Palette, height: float) -> Shape:
    """Return three lamps, one of them lit, in an upright or horizontal housing, with or without a back plate."""
    upright, size = p.chance(0.75), p.uniform(0.3, 0.44)
    lit = int(p.rng.integers(3))
    long, short = 3.2 * size, 1.15 * size
    half, tall = (short / 2, long) if upright else (long / 2, short)
    housing = p.typical(HOUSINGS, 0.65)
    shape = Shape()
    if p.chance(0.35):
        back = p.colour()
        _plate(shape, rectangle((-half - 0.15, half + 0.15), (height - 0.15, height + tall + 0.15)), back, back)
    shape.box((-half, half), (height, height + tall), (0.05, 0.3), housing)
    for i, colour in enumerate((LAMP_GREEN, LAMP_AMBER, LAMP_RED)):
        along = (i + 0.5) * long / 3
        x, y = (0.0, height + along) if upright else (along - long / 2, height + short / 2)
        lamp = regular_polygon(10, 0.42 * size, (x, y))
        shape.end(lamp, 0.31, tint(colour, 1.15 if i == lit else 0.25), 1.0 if i == lit else 0.0)
    return shape


def billboard(p: Palette) -> Shape:
    """Return an advertisement of coloured patches on two posts."""
    half, low, tall = p.uniform(1.5, 3.2), p.uniform(2.5, 4.5), p.uniform(1.5, 3.0)
    shape = Shape()
    for side in (-1, 1):
        shape.limb((side * half * 0.7, 0, -0.1), (side * half * 0.7, low + tall, -0.1), 0.08, STEEL)
    _plate(shape, rectangle((-half, half), (low, low + tall)), p.colour(), tint(STEEL, 0.7))
    for _ in range(int(p.rng.integers(4, 10))):
        x, y = p.uniform(-half * 0.9, half * 0.6), low + p.uniform(0.05, 0.8) * tall
        wide, high = p.uniform(0.1, 0.5) * half, p.uniform(0.05, 0.4) * tall
        right, top = min(x + wide, half * 0.95), min(y + high, low + tall * 0.95)
        shape.end(rectangle((x, right), (y, top)), PLATE_Z, p.colour())
    return shape


def tree(p: Palette) -> Shape:
    """Return a broad-leaved tree, a palm or a low bush."""
    kind = p.rng.choice(["crown", "palm", "bush"], p=[0.6, 0.15, 0.25])
    green = p.one_of(GREENS, 12)
    height = p.uniform(3.5, 7.0)
    shape = Shape()
    if kind == "palm":
        lean = p.uniform(-0.8, 0.8)
        shape.limb((0, 0, 0), (lean, height, 0), 0.14, p.vary(BARK, 10))
        for angle in np.linspace(0, 2 * np.pi, 13)[:-1]:
            x, z = np.cos(angle), np.sin(angle)
            middle = (lean + 0.9 * x, height + 0.4, 0.9 * z)
            shape.limb((lean, height, 0), middle, 0.12, p.vary(green, 10))
            shape.limb(middle, (lean + 1.9 * x, height - 0.3, 1.9 * z), 0.09, p.vary(green, 14))
        return shape
    spread, low = (p.uniform(1.2, 2.4), height * 0.65) if kind == "crown" else (p.uniform(0.5, 1.0), 0.5)
    if kind == "crown":
        shape.limb((0, 0, 0), (p.uniform(-0.3, 0.3), low, 0), p.uniform(0.1, 0.22), p.vary(BARK, 10))
    for _ in range(34):
        x, y, z = p.rng.normal(0.0, (spread * 0.5, spread * 0.36, spread * 0.4)).tolist()
        at, light = (x, max(0.3, low + y), z), 0.8 + 0.35 * (y / spread + 0.4)
        shape.limb(at, at, spread * p.uniform(0.12, 0.3), tint(p.vary(green, 12), light))
    return shape


def house(p: Palette, width: float, length: float) -> Shape:
    """Return a building, perhaps with shops, whose street front faces +x from z = 0 to `length`."""
    floors = int(p.rng.integers(1, 5))
    storey = p.uniform(2.8, 3.4)
    height = floors * storey + 0.5
    wall, pane, frame = p.vary(p.colour(), 16), p.one_of(GLASS, 8), p.colour()
    shape = Shape().box((-width, 0.0), (0.0, height), (0.0, length), tint(wall, 0.9))
    bays = max(1, round(length / p.uniform(2.0, 3.2)))
    pitch, inset = length / bays, p.uniform(0.15, 0.3)
    for storey_number in range(floors):
        low = storey_number * storey + 0.9
        for bay in range(bays):
            z = bay * pitch
            if storey_number == 0 and p.chance(0.6):
                # A shutter or a dark entrance, and a sign board above it.
                start, stop = z + 0.2, z + pitch - 0.2
                _on_front(shape, (start, stop), (0.1, 2.1), p.colour() if p.chance(0.4) else ENTRANCE)
                _on_front(shape, (start, stop), (2.2, storey), p.colour())
                _on_front(shape, (start + 0.2, stop - 0.3), (2.4, storey - 0.25), p.colour())
            else:
                window = (z + pitch * inset, z + pitch * (1 - inset))
                _on_front(shape, window, (low, low + 1.4), pane if p.chance(0.8) else frame)
        for bay in range(max(1, round(width / 3.5))):
            x = -width + (bay + 0.3) * 3.5
            if x + 1.3 < 0:
                shape.end(rectangle((x, x + 1.3), (low, low + 1.4)), 0.0, pane)
        if p.chance(0.4):
            slab = storey_number * storey + 0.3
            shape.box((0.0, 0.7), (slab, slab + 0.15), (0.2, length - 0.2), frame)
    return shape


def _on_front(shape: Shape, z: Range, y: Range, colour: Colour) -> None:
    """Paint a rectangle on a house's front."""
    shape.detail([(0, up, along) for along, up in rectangle(z, y)], (1, 0, 0), colour)


def wall(p: Palette, length: float) -> Shape:
    """Return a wall along z, perhaps with painted patches."""
    height = p.uniform(1.0, 2.2)
    shape = Shape().box((-0.12, 0.12), (0.0, height), (0.0, length), p.vary(p.colour(), 16))
    for _ in range(int(p.rng.integers(0, 4))):
        z = p.uniform(0.0, length * 0.8)
        stop = min(length, z + p.uniform(0.4, 1.5))
        shape.flank(rectangle((z, stop), (height * 0.2, height * 0.85)), 0.12, p.colour())
    return shape


def fence(p: Palette, length: float) -> Shape:
    """Return posts and rails along z."""
    height, colour = p.uniform(0.9, 1.5), p.colour()
    shape = Shape()
    for z in np.arange(0.0, length, 0.8):
        shape.limb((0, 0, z), (0, height, z), 0.03, colour)
    for y in (height * 0.35, height * 0.95):
        shape.limb((0, y, 0), (0, y, length), 0.025, colour)
    return shape
