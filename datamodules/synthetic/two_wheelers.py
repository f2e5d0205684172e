"""Motorcycles, scooters, bicycles and their riders; lengths in metres, the heading is +z."""

from itertools import pairwise

import numpy as np

from datamodules.synthetic.geometry import Colour, Shape
from datamodules.synthetic.palette import LAMP_RED, LAMP_WHITE, PLATE, SKIN, Palette

METAL: Colour = (96, 98, 102)
BLACK: Colour = (30, 30, 32)


def motorcycle(p: Palette) -> Shape:
    """Return a motorcycle or a scooter."""
    scooter, paint = p.chance(0.4), p.colour()
    base, radius = (
        (p.uniform(0.55, 0.64), p.uniform(0.21, 0.25)) if scooter else (p.uniform(0.58, 0.7), p.uniform(0.27, 0.32))
    )
    shape = Shape()
    for z in (-base, base):
        shape.wheel((-0.06, 0.06), radius, z, radius, METAL)
    (_scooter if scooter else _motorbike)(shape, p, paint, base, radius)
    return shape


def _motorbike(shape: Shape, p: Palette, paint: Colour, base: float, radius: float) -> None:
    shape.box((-0.13, 0.13), (0.22, 0.55), (-0.28, 0.25), METAL)
    shape.limb((0.14, 0.3, 0.1), (0.16, 0.34, -base), 0.06, METAL)
    shape.limb((0, 0.62, -base - 0.05), (0, 0.68, -0.3), 0.1, paint)
    shape.limb((0, 0.78, -base * 0.9), (0, 0.76, 0.0), 0.1, BLACK)
    shape.limb((0, 0.78, 0.08), (0, 0.84, 0.34), 0.15, paint)
    shape.limb((-0.07, radius, base), (-0.07, 0.95, base * 0.62), 0.035, METAL)
    shape.limb((0.07, radius, base), (0.07, 0.95, base * 0.62), 0.035, METAL)
    shape.limb((0, radius * 2 + 0.04, base - 0.1), (0, radius * 2 + 0.04, base + 0.12), 0.06, paint)
    _controls(shape, p, 1.02, base * 0.58)
    shape.limb((0, 0.66, -base - 0.14), (0, 0.66, -base - 0.15), 0.06, LAMP_RED)
    shape.box((-0.1, 0.1), (0.45, 0.58), (-base - 0.22, -base - 0.2), PLATE)


def _scooter(shape: Shape, p: Palette, paint: Colour, base: float, radius: float) -> None:
    shape.hull([(-base - 0.2, 0.35, 0.16), (-base - 0.22, 0.7, 0.14), (-0.1, 0.74, 0.2), (0.0, 0.3, 0.18)], paint)
    shape.limb((0, 0.78, -base), (0, 0.78, -0.12), 0.1, BLACK)
    shape.box((-0.18, 0.18), (0.24, 0.32), (-0.1, 0.36), paint)
    shape.hull([(0.3, 0.26, 0.2), (0.5, 0.24, 0.16), (0.42, 0.92, 0.12), (0.32, 0.92, 0.18)], paint)
    shape.limb((0, radius, base), (0, 0.6, 0.45), 0.07, paint)
    _controls(shape, p, 0.98, 0.38)
    shape.limb((0, 0.6, -base - 0.22), (0, 0.6, -base - 0.23), 0.06, LAMP_RED)
    shape.box((-0.1, 0.1), (0.4, 0.5), (-base - 0.24, -base - 0.22), PLATE)


def _controls(shape: Shape, p: Palette, y: float, z: float) -> None:
    """Add the handlebar, its lamp and perhaps mirrors."""
    shape.limb((-0.34, y, z - 0.1), (0.34, y, z - 0.1), 0.03, BLACK)
    shape.limb((0, y - 0.06, z + 0.06), (0, y - 0.06, z + 0.08), 0.1, LAMP_WHITE)
    if p.chance(0.6):
        for side in (-1, 1):
            shape.limb((side * 0.28, y, z - 0.1), (side * 0.36, y + 0.2, z - 0.12), 0.018, BLACK)
            shape.limb((side * 0.36, y + 0.2, z - 0.12), (side * 0.4, y + 0.2, z - 0.12), 0.05, BLACK)


def bicycle(p: Palette) -> Shape:
    """Return a bicycle: thin rings for wheels, a frame of tubes."""
    paint, base, radius = p.colour(), p.uniform(0.5, 0.58), p.uniform(0.31, 0.36)
    shape = Shape()
    angle = np.arange(13) * (np.pi / 6)
    for z in (-base, base):
        ring = [(0.0, radius + radius * float(np.sin(a)), z + radius * float(np.cos(a))) for a in angle]
        for here, there in pairwise(ring):
            shape.limb(here, there, 0.025, BLACK)
        for spoke in (0, 2, 4):
            shape.limb(ring[spoke], ring[spoke + 6], 0.007, METAL)
    crank, seat, head = (0.0, 0.3, -0.04), (0.0, 0.85, -0.2), (0.0, 0.86, base * 0.66)
    hub, under_seat = (0.0, radius, -base), (0.0, 0.78, -0.18)
    for start, end in ((crank, seat), (crank, head), (under_seat, (0.0, 0.8, base * 0.66)), (crank, hub)):
        shape.limb(start, end, 0.026, paint)
    shape.limb(hub, under_seat, 0.02, paint)
    shape.limb((0.0, radius, base), (0.0, 1.0, base * 0.6), 0.026, METAL)
    shape.limb((-0.28, 1.02, base * 0.5), (0.28, 1.02, base * 0.5), 0.022, METAL)
    shape.limb((0.0, 0.92, -0.28), (0.0, 0.92, -0.08), 0.06, BLACK)
    if p.chance(0.5):
        shape.limb((0.0, 0.72, -base - 0.2), (0.0, 0.72, -0.2), 0.03, METAL)
        if p.chance(0.5):
            shape.box((-0.2, 0.2), (0.75, p.uniform(0.9, 1.1)), (-base - 0.2, -base + 0.2), p.colour())
    return shape


def rider(p: Palette, *, seat: float, reach: float, place: float = 0.0) -> Shape:
    """Return a seated person with the hips at height `seat`, hands `reach` ahead, moved by `place` along z."""
    shirt, trousers, skin, helmet = p.colour(), p.colour(), p.one_of(SKIN, 8), p.colour()
    lean, tall, wide = p.uniform(-0.05, 0.3), p.uniform(0.46, 0.6), p.uniform(0.0, 0.16)
    shoulder = seat + tall
    hip, chest = place - 0.15, place - 0.15 + lean  # along z
    shape = Shape()
    for side in (-1, 1):
        knee = (side * (0.2 + wide), seat - 0.06, hip + 0.42)
        shape.limb((side * 0.1, seat, hip), knee, 0.085, trousers)
        shape.limb(knee, (side * 0.2, seat - 0.46, hip + 0.24), 0.06, trousers)
        shape.limb((side * 0.2, seat - 0.5, hip + 0.24), (side * 0.2, seat - 0.5, hip + 0.36), 0.05, BLACK)
        elbow = (side * (0.28 + wide), shoulder - 0.26, chest + 0.16)
        shape.limb((side * 0.2, shoulder - 0.04, chest), elbow, 0.06, shirt)
        shape.limb(elbow, (side * 0.26, seat + 0.24, hip + reach), 0.045, skin)
    low = seat - 0.06
    back = [(hip - 0.12, low, 0.16), (chest - 0.13, shoulder, 0.2)]
    shape.hull([*back, (chest + 0.1, shoulder, 0.19), (hip + 0.12, low, 0.16)], shirt)
    if p.chance(0.25):
        bottom, top = (0, seat + 0.15, hip - 0.2), (0, shoulder - 0.1, chest - 0.2)
        shape.limb(bottom, top, p.uniform(0.14, 0.22), p.colour())
    if p.chance(0.15):
        half = p.uniform(0.3, 0.55)
        shape.box((-half, half), (seat - 0.1, seat + p.uniform(0.2, 0.5)), (hip - 0.6, hip - 0.2), p.colour())
    head = shoulder + 0.2
    shape.limb((0, shoulder, chest), (0, head, chest + 0.03), 0.06, skin)
    face = chest + 0.04
    shape.limb((0, head, face), (0, head + 0.03, face), 0.12, helmet if p.chance(0.6) else skin)
    if p.chance(0.5):
        shape.limb((0, head + 0.05, chest), (0, head + 0.06, chest - 0.01), 0.125, helmet)
    return shape
