"""Who is on the street: vehicles, riders, people and animals, with a place, a heading and a speed."""

from collections.abc import Callable

import numpy as np

from datamodules.synthetic import living, two_wheelers, vehicles
from datamodules.synthetic.geometry import Shape
from datamodules.synthetic.palette import Palette
from datamodules.synthetic.world import Road, Thing

# How often a kind of thing is put into the street; a two-wheeler may bring riders with it.
SHARES = {
    "car": 0.20, "motorcycle": 0.16, "bicycle": 0.09, "person": 0.18, "autorickshaw": 0.12,
    "truck": 0.11, "bus": 0.10, "animal": 0.11, "persongroup": 0.02,
}  # fmt: skip
SHAPES: dict[str, Callable[[Palette], Shape]] = {
    "car": vehicles.car,
    "autorickshaw": vehicles.autorickshaw,
    "bus": vehicles.bus,
    "truck": vehicles.truck,
    "motorcycle": two_wheelers.motorcycle,
    "bicycle": two_wheelers.bicycle,
    "person": living.person,
    "persongroup": living.crowd,
    "animal": living.animal,
}
WALKERS = ("person", "persongroup", "animal")
# Half length and half width in metres that a thing claims for itself, how near to the camera it may stand, and how far
# off it is besides: in step with its size, so that the size in pixels does not give it away.
ROOM = {
    "car": (2.2, 0.9, 4.5, 1.2), "autorickshaw": (1.5, 0.75, 4.5, 1.1), "bus": (5.2, 1.3, 9.0, 2.2),
    "truck": (4.0, 1.2, 7.0, 1.8), "motorcycle": (1.1, 0.5, 3.0, 0.7), "bicycle": (1.0, 0.45, 3.0, 0.7),
    "person": (0.4, 0.4, 3.6, 0.9), "persongroup": (0.8, 1.2, 5.0, 1.0), "animal": (1.1, 0.6, 3.2, 0.7),
}  # fmt: skip
TRIES = 12  # before a thing finds the street too full
Spot = tuple[float, float, float, tuple[float, float]]  # x, z, heading, speed


class Traffic:
    """Fills a road with things that do not stand in one another, around a camera that moves `step` metres a frame."""

    def __init__(self, p: Palette, road: Road, step: float) -> None:
        self._p, self._road, self._step = p, road, step
        self._claimed: list[tuple[float, float, float, float]] = []

    def fill(self, count: int) -> list[Thing]:
        """About `count` things, in a mix that is this street's own."""
        p, things = self._p, []
        mix = np.array(list(SHARES.values())) * p.rng.uniform(0.3, 1.7, len(SHARES))
        for label in p.rng.choice(list(SHARES), count, p=mix / mix.sum()).tolist():
            spot = self._free(label)
            if spot is not None:
                x, z, heading, speed = spot
                thing = Thing(label, SHAPES[label](p), x, z, heading, speed)
                things += [thing, *self._riders(thing)]
        return things

    def _riders(self, below: Thing) -> list[Thing]:
        """Who sits on a two-wheeler: nobody, one, or on a motorcycle two."""
        p = self._p
        motor = below.label == "motorcycle"
        if below.label not in ("motorcycle", "bicycle") or not p.chance(0.7 if motor else 0.55):
            return []
        seat, reach = (0.86, 0.5) if motor else (0.96, 0.62)
        places = [(0.0, 0.25), (-0.42, 0.15)] if motor and p.chance(0.25) else [(0.0, 0.25)]
        return [
            Thing("rider", two_wheelers.rider(p, seat=seat, reach=reach, place=place), below.x, below.z, below.heading, below.speed, shift)
            for place, shift in places
        ]  # fmt: skip

    def _free(self, label: str) -> Spot | None:
        """A free place, which is then taken, or None when the street is full there."""
        long, half = ROOM[label][:2]
        for _ in range(TRIES):
            x, z, heading, speed = self._spot(label)
            cosine, sine = abs(np.cos(heading)), abs(np.sin(heading))
            deep, wide = cosine * long + sine * half, sine * long + cosine * half
            if all(abs(x - a) > wide + c or abs(z - b) > deep + d for a, b, c, d in self._claimed):
                self._claimed.append((x, z, wide, deep))
                return x, z, heading, speed
        return None

    def _spot(self, label: str) -> Spot:
        """A place in the traffic, against it, across it, or beside the road."""
        p, road, (long, half, near, depth) = self._p, self._road, ROOM[label]
        z = near + long + float(p.rng.gamma(1.6, 5.0 * depth))
        chances = [0.1, 0.1, 0.25, 0.55] if label in WALKERS else [0.3, 0.25, 0.17, 0.28]
        manner = p.rng.choice(["along", "against", "across", "beside"], p=chances)
        turn = p.between(-0.35, 0.35)
        if manner == "along":
            return p.between(road.left + half, road.middle), z, turn / 2, (0.0, self._step + p.between(-0.25, 0.25))
        if manner == "against":
            return p.between(road.middle, road.right - half), z, np.pi + turn / 2, (0.0, p.between(-0.5, 0.0))
        if manner == "across":
            side = 1.0 if p.chance(0.5) else -1.0
            speed = (side * p.between(0.0, 0.2), self._step * p.between(0.0, 0.8))
            return p.between(road.left, road.right), z, side * np.pi / 2 + turn * 2, speed
        side, edge = road.edges[int(p.rng.integers(2))]
        heading = float(p.rng.choice([0.0, np.pi, np.pi / 2, -np.pi / 2])) + turn
        return edge + side * (p.between(-0.2, 1.6) + half / 2), z + road.travel / 2, heading, (0.0, 0.0)
