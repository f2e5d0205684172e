"""Cars, autorickshaws, buses, trucks, motorcycles and bicycles; lengths in metres, the heading is +z."""

from itertools import pairwise

import numpy as np

from datamodules.synthetic.geometry import (
    GLASS,
    LAMP_AMBER,
    LAMP_RED,
    LAMP_WHITE,
    PLATE,
    Colour,
    Palette,
    Point,
    Range,
    Shape,
    rectangle,
    tint,
)

HUB: Colour = (140, 140, 142)
TYPICAL = 0.65  # share that has a colour typical of its kind
CAR_PAINTS: tuple[Colour, ...] = ((232, 232, 230), (176, 178, 180), (96, 98, 102), (34, 36, 40), (150, 28, 30))
BUS_PAINTS: tuple[Colour, ...] = ((170, 40, 36), (40, 96, 160), (226, 190, 70), (44, 120, 84))
LORRY_PAINTS: tuple[Colour, ...] = ((196, 96, 40), (120, 62, 44), (222, 170, 60), (60, 90, 130))
RICKSHAW_BODIES: tuple[Colour, ...] = ((40, 104, 60), (34, 36, 36), (222, 180, 40))
RICKSHAW_CANOPIES: tuple[Colour, ...] = ((226, 180, 44), (36, 36, 38), (226, 190, 70))
BLACK: Colour = (26, 26, 28)
RUBBER: Colour = (30, 30, 32)
METAL: Colour = (96, 98, 102)


def car(p: Palette) -> Shape:
    """Return a hatchback, a saloon or a van."""
    length, width, height = p.uniform(3.3, 4.5), p.uniform(1.45, 1.8), p.uniform(1.4, 1.85)
    kind = p.rng.choice(["hatch", "saloon", "van"], p=[0.45, 0.35, 0.2])
    paint, glass = p.typical(CAR_PAINTS, TYPICAL), p.one_of(GLASS, 8)
    front, half, belt = length / 2, width / 2, height * p.uniform(0.52, 0.6)
    hood, boot = {"hatch": (0.25, 0.03), "saloon": (0.27, 0.19), "van": (0.06, 0.02)}[kind]
    rear, fore = -front + boot * length, front - hood * length
    shape = Shape()
    for z in (-0.31 * length, 0.31 * length):
        shape.axle(half, 0.2, 0.3, z, 0.31, HUB)
    side_view = [(-front, 0.24, 0.94), (-front, belt * 0.96, 0.96), (fore, belt, 1), (front, belt * 0.8, 0.9)]
    shape.hull([*side_view, (front, 0.24, 0.9)], paint, half=half)
    for z in (-0.31 * length, 0.31 * length):
        shape.flank([(z - 0.36, 0.24), (z - 0.3, 0.58), (z + 0.3, 0.58), (z + 0.36, 0.24)], half * 0.97, BLACK)
    lamp_y = belt * 0.72
    shape.end(rectangle((-half * 0.45, half * 0.45), (0.34, 0.56)), front, BLACK)
    for side in (-1, 1):
        inner, outer = side * half * 0.5, side * half * 0.86
        lamp = [(inner, lamp_y - 0.09), (outer, lamp_y - 0.06), (outer, lamp_y + 0.07), (inner, lamp_y + 0.04)]
        shape.end(lamp, front, LAMP_WHITE, 0.4)
        inner *= 1.3
        lamp = [(inner, lamp_y - 0.05), (outer, lamp_y - 0.1), (outer, lamp_y + 0.14), (inner, lamp_y + 0.12)]
        shape.end(lamp, -front, LAMP_RED, 0.3)
    shape.end(rectangle((-0.25, 0.25), (0.42, 0.55)), -front, PLATE)
    top_rear, top_fore = rear + p.uniform(0.12, 0.4), fore - p.uniform(0.35, 0.75)
    low, high = half * 0.95, half * 0.76
    shape.hull([(rear, belt * 0.97, low), (top_rear, height, high), (top_fore, height, high), (fore, belt, low)], paint)
    _car_windows(shape, (rear, top_rear), (fore, top_fore), (belt, height), (low, high), glass)
    if p.chance(0.25):
        shape.box((-high, high), (height, height + p.uniform(0.08, 0.4)), (top_rear, top_fore), p.colour())
    return shape


def _car_windows(shape: Shape, rear: Range, fore: Range, y: Range, half: Range, glass: Colour) -> None:
    """Paint panes on a cabin that narrows from `half[0]` at the belt `y[0]` to `half[1]` at the roof `y[1]`."""

    def at(t: float, low: float, high: float, inset: float = 0.0) -> Point:
        """Return half the width, the height and the z at the share `t` of the way from the belt to the roof."""
        return half[0] + (half[1] - half[0]) * t, y[0] + (y[1] - y[0]) * t, low + (high - low) * t + inset

    middle = (rear[1] + fore[1]) / 2 - 0.1
    for side in (-1, 1):
        for start, stop in ((rear, (middle - 0.06, middle - 0.06)), ((middle, middle), fore)):
            corners = [at(0.1, *start, 0.1), at(0.88, *start, 0.1), at(0.88, *stop, -0.1), at(0.1, *stop, -0.1)]
            shape.detail([(side * wide, up, along) for wide, up, along in corners], (side, 0.3, 0), glass)
    for edge, direction in ((fore, 1.0), (rear, -1.0)):
        low, high = ((0.88 * wide, up, along) for wide, up, along in (at(0.1, *edge), at(0.88, *edge)))
        _windscreen(shape, low, high, (0, 0.5, direction), glass)


def _windscreen(shape: Shape, low: Point, high: Point, normal: Point, glass: Colour) -> None:
    """Paint a pane across a vehicle between two edges, each (half its width, y, z)."""
    left = [(-wide, y, z) for wide, y, z in (low, high)]
    shape.detail([*left, high, low], normal, glass)


def autorickshaw(p: Palette) -> Shape:
    """Return a three-wheeler with a narrow nose, open flanks and a canopy."""
    length, half, height = p.uniform(2.5, 2.9), p.uniform(0.58, 0.7), p.uniform(1.65, 1.85)
    body, canopy, glass = p.typical(RICKSHAW_BODIES, TYPICAL), p.typical(RICKSHAW_CANOPIES, TYPICAL), p.one_of(GLASS, 8)
    front, sill = length / 2, p.uniform(0.85, 1.0)
    shape = Shape()
    shape.axle(half, 0.14, 0.22, -front * 0.6, 0.23, HUB)
    shape.wheel((-0.07, 0.07), 0.22, front * 0.82, 0.23, HUB)
    scale = {"length": front, "half": half}
    shape.hull([(-1, 0.3, 0.95), (-1, sill, 1), (0.25, sill * 0.55, 1), (0.25, 0.26, 0.9)], body, **scale)
    nose = [(0.25, 0.3, 0.85), (0.3, sill, 0.8), (0.82, sill * 0.9, 0.4), (0.98, 0.5, 0.25), (0.8, 0.34, 0.3)]
    shape.hull(nose, body, **scale)
    shape.limb((0, sill * 0.82, front * 0.86), (0, sill * 0.82, front * 0.87), 0.1, LAMP_WHITE)
    roof = [(-1, sill, 1), (-0.92, height, 0.9), (0.4, height, 0.86), (0.62, height * 0.9, 0.78), (0.72, sill, 0.66)]
    shape.hull(roof, canopy, **scale)
    inside = tint(glass, 0.6)
    rear = -front * 0.35
    opening = [(rear, sill * 0.98), (rear, height * 0.88), (front * 0.3, height * 0.9), (front * 0.52, sill)]
    shape.flank(opening, half * 0.96, inside)
    pane = half * 0.62
    _windscreen(shape, (pane, sill * 1.02, front * 0.72), (pane, height * 0.88, front * 0.63), (0, 0.2, 1), glass)
    if p.chance(0.7):
        shape.end(rectangle((-half * 0.5, half * 0.5), (sill * 1.15, height * 0.85)), -front, inside)
    for side in (-1, 1):
        x = side * half * 0.8
        shape.end(rectangle((x - 0.06, x + 0.06), (0.5, 0.7)), -front, LAMP_RED, 0.3)
    shape.end(rectangle((-0.2, 0.2), (0.45, 0.58)), -front, PLATE)
    return shape


def bus(p: Palette) -> Shape:
    """Return a city bus or a minibus."""
    short = p.chance(0.4)
    length = p.uniform(5.5, 7.0) if short else p.uniform(8.0, 10.5)
    half, height = p.uniform(1.05, 1.28), p.uniform(2.5, 2.8) if short else p.uniform(2.8, 3.2)
    paint, stripe, glass = p.typical(BUS_PAINTS, TYPICAL), p.colour(), p.one_of(GLASS, 8)
    front, floor, sill, lintel = length / 2, 0.4, height * p.uniform(0.42, 0.5), height * p.uniform(0.78, 0.85)
    shape = Shape()
    for z in (-length * 0.28, length * 0.32):
        shape.axle(half, 0.3, 0.45, z, 0.46, HUB)
    shape.box((-half, half), (floor, height), (-front, front), paint)
    for z in (-length * 0.28, length * 0.32):
        shape.flank([(z - 0.55, floor), (z - 0.45, 0.92), (z + 0.45, 0.92), (z + 0.55, floor)], half, BLACK)
    band = sill - p.uniform(0.1, 0.4)
    shape.pane((-front, front), (band - 0.15, band), half, stripe)
    panes = round(length / p.uniform(1.0, 1.5))
    pitch = (length - 0.6) / panes
    for i in range(panes):
        z = -front + 0.3 + i * pitch
        shape.pane((z, z + pitch * 0.86), (sill, lintel), half, glass)
    door = -front + 0.35 if p.chance(0.5) else front - 1.3
    shape.pane((door, door + 0.8), (floor + 0.1, lintel), half, tint(glass, 0.7))
    wide, drop = half * 0.92, sill * p.uniform(0.8, 0.95)
    shape.end(rectangle((-wide, wide), (drop, lintel)), front, glass)
    shape.end(rectangle((-wide * 0.7, wide * 0.7), (lintel + 0.06, height - 0.08)), front, p.colour(), 0.3)
    shape.end(rectangle((-wide * 0.8, wide * 0.8), (sill, lintel)), -front, glass)
    _lamps_and_plate(shape, half, front, floor + 0.25)
    if p.chance(0.3):
        luggage = (height, height + p.uniform(0.2, 0.6))
        shape.box((-half * 0.7, half * 0.7), luggage, (-front * 0.7, front * 0.5), p.colour())
    return shape


def truck(p: Palette) -> Shape:
    """Return a lorry with a box, an open bed or a tank, or a small pick-up."""
    small = p.chance(0.35)
    length = p.uniform(3.8, 4.8) if small else p.uniform(5.5, 8.5)
    half = p.uniform(0.75, 0.9) if small else p.uniform(1.05, 1.25)
    cab_height = p.uniform(1.7, 1.9) if small else p.uniform(2.3, 2.8)
    front, floor, radius = length / 2, 0.35 if small else 0.55, 0.3 if small else 0.48
    cab = front - (1.2 if small else p.uniform(1.5, 2.0))
    paint, glass = p.typical(LORRY_PAINTS, TYPICAL), p.one_of(GLASS, 8)
    shape = Shape()
    for z in (-length * 0.33, -length * 0.16, length * 0.34) if length > 6.5 else (-length * 0.27, length * 0.33):
        shape.axle(half, 0.3, radius, z, radius, HUB)
    shape.box((-half * 0.5, half * 0.5), (floor, floor + 0.3), (-front, front - 0.2), BLACK)
    _cargo(shape, p, (-front, cab - 0.12), half, floor + 0.35, cab_height)
    sill = cab_height * 0.58
    side_view = [(cab, floor, 1), (cab, cab_height, 0.94), (front - 0.2, cab_height, 0.9), (front, sill, 0.97)]
    shape.hull([*side_view, (front, floor, 0.97)], paint, half=half)
    window = [(cab + 0.35, sill), (cab + 0.35, cab_height * 0.9), (front - 0.3, cab_height * 0.9), (front - 0.15, sill)]
    shape.flank(window, half * 0.97, glass)
    wide = half * 0.84
    _windscreen(shape, (wide, sill * 1.05, front), (wide, cab_height * 0.9, front - 0.16), (0, 0.3, 1), glass)
    grille = p.uniform(0.4, 0.7) * half
    shape.end(rectangle((-grille, grille), (floor + 0.35, sill * 0.88)), front, BLACK)
    _lamps_and_plate(shape, half, front, floor + 0.2)
    return shape


def _cargo(shape: Shape, p: Palette, z: Range, half: float, floor: float, cab_height: float) -> None:
    """Add a lorry's body or load from `z[0]` (rear) to `z[1]`."""
    kind = p.rng.choice(["box", "bed", "tank"], p=[0.45, 0.42, 0.13])
    paint, trim = p.typical(LORRY_PAINTS, TYPICAL), p.colour()
    if kind == "tank":
        radius = half * 0.85
        shape.limb((0, floor + radius, z[0] + radius), (0, floor + radius, z[1] - radius), radius, paint)
        shape.box((-half, half), (floor - 0.15, floor + 0.1), z, trim)
        return
    top = cab_height * p.uniform(0.95, 1.3) if kind == "box" else floor + p.uniform(0.6, 1.2)
    shape.box((-half, half), (floor - 0.1, top), z, paint)
    ribs = int(p.rng.integers(3, 8))
    for i in range(1, ribs):
        along, across = z[0] + (z[1] - z[0]) * i / ribs, -half + 2 * half * i / ribs
        shape.pane((along, along + 0.09), (floor, top), half, trim)
        if i % 2:
            shape.end(rectangle((across, across + 0.07), (floor, top)), z[0], trim)
    if kind == "bed" and p.chance(0.7):
        load = p.colour()
        for _ in range(7):
            along, across = p.uniform(z[0] + 0.5, z[1] - 0.5), p.uniform(-half * 0.55, half * 0.55)
            end, radius = (across, top + 0.1, along + 0.3), half * p.uniform(0.3, 0.45)
            shape.limb((across, top, along), end, radius, p.vary(load, 14))


def _lamps_and_plate(shape: Shape, half: float, front: float, y: float) -> None:
    for side in (-1, 1):
        inner, outer = side * half * 0.62, side * half * 0.9
        shape.end(rectangle((inner, outer), (y, y + 0.2)), front, LAMP_WHITE, 0.4)
        shape.end(rectangle((inner, outer), (y, y + 0.16)), -front, LAMP_RED, 0.3)
        shape.end(rectangle((outer, inner), (y + 0.18, y + 0.26)), -front, LAMP_AMBER, 0.3)
    shape.end(rectangle((-0.3, 0.3), (y - 0.05, y + 0.12)), -front, PLATE)


def motorcycle(p: Palette) -> Shape:
    """Return a motorcycle or a scooter."""
    scooter, paint = p.chance(0.4), p.colour()
    base = p.uniform(0.55, 0.64) if scooter else p.uniform(0.58, 0.7)
    radius = p.uniform(0.21, 0.25) if scooter else p.uniform(0.27, 0.32)
    shape = Shape()
    for z in (-base, base):
        shape.wheel((-0.06, 0.06), radius, z, radius, METAL)
    if scooter:
        shape.hull([(-base - 0.2, 0.35, 0.16), (-base - 0.22, 0.7, 0.14), (-0.1, 0.74, 0.2), (0.0, 0.3, 0.18)], paint)
        shape.limb((0, 0.78, -base), (0, 0.78, -0.12), 0.1, RUBBER)
        shape.box((-0.18, 0.18), (0.24, 0.32), (-0.1, 0.36), paint)
        shape.hull([(0.3, 0.26, 0.2), (0.5, 0.24, 0.16), (0.42, 0.92, 0.12), (0.32, 0.92, 0.18)], paint)
        shape.limb((0, radius, base), (0, 0.6, 0.45), 0.07, paint)
        _controls(shape, p, 0.98, 0.38)
        shape.limb((0, 0.6, -base - 0.22), (0, 0.6, -base - 0.23), 0.06, LAMP_RED)
        shape.box((-0.1, 0.1), (0.4, 0.5), (-base - 0.24, -base - 0.22), PLATE)
    else:
        shape.box((-0.13, 0.13), (0.22, 0.55), (-0.28, 0.25), METAL)
        shape.limb((0.14, 0.3, 0.1), (0.16, 0.34, -base), 0.06, METAL)
        shape.limb((0, 0.62, -base - 0.05), (0, 0.68, -0.3), 0.1, paint)
        shape.limb((0, 0.78, -base * 0.9), (0, 0.76, 0.0), 0.1, RUBBER)
        shape.limb((0, 0.78, 0.08), (0, 0.84, 0.34), 0.15, paint)
        shape.limb((-0.07, radius, base), (-0.07, 0.95, base * 0.62), 0.035, METAL)
        shape.limb((0.07, radius, base), (0.07, 0.95, base * 0.62), 0.035, METAL)
        shape.limb((0, radius * 2 + 0.04, base - 0.1), (0, radius * 2 + 0.04, base + 0.12), 0.06, paint)
        _controls(shape, p, 1.02, base * 0.58)
        shape.limb((0, 0.66, -base - 0.14), (0, 0.66, -base - 0.15), 0.06, LAMP_RED)
        shape.box((-0.1, 0.1), (0.45, 0.58), (-base - 0.22, -base - 0.2), PLATE)
    return shape


def _controls(shape: Shape, p: Palette, y: float, z: float) -> None:
    """Add the handlebar, its lamp and perhaps mirrors."""
    shape.limb((-0.34, y, z - 0.1), (0.34, y, z - 0.1), 0.03, RUBBER)
    shape.limb((0, y - 0.06, z + 0.06), (0, y - 0.06, z + 0.08), 0.1, LAMP_WHITE)
    if p.chance(0.6):
        for side in (-1, 1):
            shape.limb((side * 0.28, y, z - 0.1), (side * 0.36, y + 0.2, z - 0.12), 0.018, RUBBER)
            shape.limb((side * 0.36, y + 0.2, z - 0.12), (side * 0.4, y + 0.2, z - 0.12), 0.05, RUBBER)


def bicycle(p: Palette) -> Shape:
    """Return a bicycle: thin rings for wheels, a frame of tubes."""
    paint, base, radius = p.colour(), p.uniform(0.5, 0.58), p.uniform(0.31, 0.36)
    shape = Shape()
    angle = np.arange(13) * (np.pi / 6)
    for z in (-base, base):
        ring = [(0.0, radius + radius * float(np.sin(a)), z + radius * float(np.cos(a))) for a in angle]
        for here, there in pairwise(ring):
            shape.limb(here, there, 0.025, RUBBER)
        for spoke in (0, 2, 4):
            shape.limb(ring[spoke], ring[spoke + 6], 0.007, METAL)
    crank, seat, head = (0.0, 0.3, -0.04), (0.0, 0.85, -0.2), (0.0, 0.86, base * 0.66)
    hub, under_seat = (0.0, radius, -base), (0.0, 0.78, -0.18)
    for start, end in ((crank, seat), (crank, head), (under_seat, (0.0, 0.8, base * 0.66)), (crank, hub)):
        shape.limb(start, end, 0.026, paint)
    shape.limb(hub, under_seat, 0.02, paint)
    shape.limb((0.0, radius, base), (0.0, 1.0, base * 0.6), 0.026, METAL)
    shape.limb((-0.28, 1.02, base * 0.5), (0.28, 1.02, base * 0.5), 0.022, METAL)
    shape.limb((0.0, 0.92, -0.28), (0.0, 0.92, -0.08), 0.06, RUBBER)
    if p.chance(0.5):
        shape.limb((0.0, 0.72, -base - 0.2), (0.0, 0.72, -0.2), 0.03, METAL)
        if p.chance(0.5):
            shape.box((-0.2, 0.2), (0.75, p.uniform(0.9, 1.1)), (-base - 0.2, -base + 0.2), p.colour())
    return shape
