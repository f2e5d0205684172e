"""People, also on two-wheelers, and animals; lengths in metres, the heading is +z."""

from datamodules.synthetic.geometry import SKIN, Colour, Palette, Shape, tint

COATS: tuple[Colour, ...] = ((222, 214, 200), (120, 82, 54), (52, 46, 44), (164, 128, 92), (140, 134, 128))
SHOE: Colour = (40, 36, 34)
BOOT: Colour = (30, 30, 32)


def person(p: Palette) -> Shape:
    """Return a person who stands, walks or crouches, in trousers or a long dress, perhaps gesturing or with a load."""
    tall = p.uniform(1.5, 1.8) if p.chance(0.85) else p.uniform(1.05, 1.35)
    top, bottom, skin, hair = p.colour(), p.colour(), p.one_of(SKIN, 8), tint(p.colour(), 0.4)
    crouching = p.chance(0.2)
    hip = (0.22 if crouching else 0.52) * tall
    shoulder = hip + 0.3 * tall
    stride = p.uniform(-0.22, 0.22) * tall
    shape = Shape()
    for side in (-1, 1):
        if crouching:
            knee, foot = (side * p.uniform(0.12, 0.28), hip + 0.2, 0.38), (side * 0.14, 0.06, p.uniform(0.2, 0.34))
        else:
            knee, foot = (side * 0.1, hip * 0.52, side * stride * 0.6 + 0.03), (side * 0.1, 0.06, side * stride)
        shape.limb((side * 0.08, hip, 0), knee, 0.075, bottom)
        shape.limb(knee, foot, 0.055, bottom if p.chance(0.8) else skin)
        shape.limb((foot[0], 0.04, foot[2]), (foot[0], 0.04, foot[2] + 0.12), 0.045, SHOE)
        _arm(shape, p, side, shoulder, (top, skin))
    if p.chance(0.35) and not crouching:
        hem = p.uniform(0.2, 0.32)
        shape.hull([(-0.2, 0.12, hem), (-0.1, hip + 0.1, 0.15), (0.1, hip + 0.1, 0.15), (0.22, 0.12, hem)], bottom)
    waist = hip - 0.04
    shape.hull([(-0.11, waist, 0.15), (-0.12, shoulder, 0.2), (0.1, shoulder, 0.19), (0.11, waist, 0.15)], top)
    shape.limb((0, shoulder, 0), (0, shoulder + 0.1, 0.01), 0.055, skin)
    shape.limb((0, shoulder + 0.16, 0.02), (0, shoulder + 0.22, 0.02), 0.1, skin)
    shape.limb((0, shoulder + 0.23, -0.02), (0, shoulder + 0.24, -0.02), 0.1, hair)
    _load(shape, p, hip, shoulder)
    return shape


def _arm(shape: Shape, p: Palette, side: int, shoulder: float, colours: tuple[Colour, Colour]) -> None:
    """Add an arm that hangs, is bent, or is stretched out to the `side`."""
    out, ahead = (p.uniform(0.3, 1.0), p.uniform(-0.2, 0.4)) if p.chance(0.3) else (0.1, p.uniform(-0.3, 0.6))
    elbow = (side * (0.2 + 0.26 * out), shoulder - 0.27 * (1.05 - out), 0.2 * ahead)
    lift = p.uniform(-0.22, 0.22) if out > 0.2 else -0.24 + 0.3 * max(ahead, 0.0)
    hand = (side * (0.21 + 0.45 * out), elbow[1] + lift, 0.45 * ahead)
    shape.limb((side * 0.18, shoulder - 0.05, 0), elbow, 0.052, colours[0])
    shape.limb(elbow, hand, 0.042, colours[1])


def _load(shape: Shape, p: Palette, hip: float, shoulder: float) -> None:
    """Add nothing, a bag, a bundle on the head, an umbrella, or a cart in front."""
    kind = p.rng.choice(["none", "bag", "bundle", "umbrella", "cart"], p=[0.45, 0.22, 0.13, 0.08, 0.12])
    if kind == "bag":
        side, wide = (1 if p.chance(0.5) else -1), p.uniform(0.08, 0.18)
        x, y = (side * 0.36 - wide, side * 0.36 + wide), (max(0.05, hip - 0.4), hip + 0.05)
        shape.box(x, y, (-0.16, 0.2), p.colour())
    elif kind == "bundle":
        wide, top = p.uniform(0.2, 0.5), shoulder + 0.34
        rear, front = (wide * 0.7, top, wide), (wide * 0.5, top + 0.25, wide * 0.7)
        shape.hull([(-rear[0], *rear[1:]), (-front[0], *front[1:]), front, rear], p.colour())
    elif kind == "umbrella":
        shape.limb((0.2, shoulder, 0.1), (0.12, shoulder + 0.6, 0.1), 0.012, SHOE)
        low, high = shoulder + 0.45, shoulder + 0.75
        shape.hull([(-0.45, low, 0.5), (0.1, high, 0.05), (0.65, low, 0.5)], p.colour())
    elif kind == "cart":
        wide = p.uniform(0.35, 0.7)
        shape.box((-wide, wide), (0.5, p.uniform(0.6, 1.0)), (0.5, p.uniform(1.2, 1.9)), p.colour())
        for side in (-1, 1):
            shape.wheel((side * wide - 0.03, side * wide + 0.03), 0.28, 0.9, 0.28, p.colour())


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
        shape.limb((side * 0.2, seat - 0.5, hip + 0.24), (side * 0.2, seat - 0.5, hip + 0.36), 0.05, BOOT)
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


def animal(p: Palette) -> Shape:
    """Return a cow, a goat or a dog, standing or lying."""
    kinds = ((1.0, 0.33, True), (0.62, 0.27, True), (0.5, 0.23, False))
    scale, bulk, horned = kinds[int(p.rng.choice(3, p=[0.55, 0.2, 0.25]))]
    size = scale * p.uniform(0.85, 1.15)
    coat, patch, dark = p.typical(COATS, 0.8), p.typical(COATS, 0.8), tint(p.typical(COATS, 1.0), 0.35)
    long, lying = p.uniform(0.5, 0.65), p.chance(0.2)
    back = 0.4 if lying else p.uniform(0.92, 1.08)
    shape = Shape()
    for side in (-1, 1):
        for z in (-long, long):
            step = p.uniform(-0.16, 0.16)
            if lying:
                shape.limb((side * 0.3, 0.12, z), (side * 0.4, 0.1, z + 0.3), 0.08, coat)
            else:
                knee = (side * 0.17, 0.4, z + step * 0.6)
                shape.limb((side * 0.17, back - 0.2, z), knee, 0.085, coat)
                shape.limb(knee, (side * 0.17, 0.07, z + step), 0.06, coat if p.chance(0.6) else dark)
    shape.limb((0, back, -long), (0, back + 0.03, long), bulk, coat)
    shape.limb((0, back - 0.06, -long * 0.4), (0, back - 0.04, long * 0.3), bulk * 1.05, coat)
    if p.chance(0.5):
        for side in (-1, 1):
            x = side * bulk * 0.75
            start, end = (x, back + p.uniform(-0.1, 0.12), p.uniform(-long, 0)), (x, back, p.uniform(0, long))
            shape.limb(start, end, 0.14, patch)
    raised = p.uniform(-0.35, 0.42)
    x, y, z = p.uniform(-0.12, 0.12), back + raised, long + 0.55  # of the head
    shape.limb((0, back + 0.08, long), (x, y, z), 0.15, coat)
    shape.limb((x, y, z), (x, y - 0.18, z + 0.24), 0.11, coat)
    shape.limb((x, y - 0.2, z + 0.27), (x, y - 0.21, z + 0.28), 0.09, dark)
    for side in (-1, 1):
        shape.limb((x + side * 0.1, y + 0.06, z), (x + side * 0.26, y + 0.02, z - 0.04), 0.05, coat)
        if horned:
            shape.limb((x + side * 0.07, y + 0.12, z), (x + side * 0.16, y + 0.34, z), 0.03, dark)
    shape.limb((0, back + 0.1, -long - 0.22), (p.uniform(-0.1, 0.1), back - 0.45, -long - 0.34), 0.035, coat)
    shape.limbs = [limb._replace(corners=limb.corners * size, radius=limb.radius * size) for limb in shape.limbs]
    return shape


def crowd(p: Palette) -> Shape:
    """Return people who stand so close together that one outline encloses them all."""
    group = Shape()
    for i in range(int(p.rng.integers(3, 6))):
        offset = (0.42 * i + p.uniform(-0.1, 0.1), 0.0, p.uniform(-0.3, 0.3))
        group.join(person(p), offset)
    return group
