"""Vehicles, riders, people and animals on the street, with a position, a heading and a speed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from datamodules.synthetic import living, two_wheelers, vehicles
from datamodules.synthetic.geometry import Shape
from datamodules.synthetic.palette import Palette
from datamodules.synthetic.world import Road, Thing

# Relative frequency of each class; a two-wheeler may have riders besides.
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
# Half length and half width in metres of the occupied ground, the smallest distance to the camera, and the scale of the
# distance beyond it, which grows with the object's size so that its size in pixels does not reveal its class.
FOOTPRINTS = {
    "car": (2.2, 0.9, 4.5, 1.2), "autorickshaw": (1.5, 0.75, 4.5, 1.1), "bus": (5.2, 1.3, 9.0, 2.2),
    "truck": (4.0, 1.2, 7.0, 1.8), "motorcycle": (1.1, 0.5, 3.0, 0.7), "bicycle": (1.0, 0.45, 3.0, 0.7),
    "person": (0.4, 0.4, 3.6, 0.9), "persongroup": (0.8, 1.2, 5.0, 1.0), "animal": (1.1, 0.6, 3.2, 0.7),
}  # fmt: skip
TRIES = 12  # random places tried before an object is left out
Place = tuple[float, float, float, tuple[float, float]]  # x, z, heading, speed


class Traffic:
    """Places objects that do not overlap on a road, around a camera that moves `step` metres per frame."""

    def __init__(self, p: Palette, road: Road, step: float) -> None:
        self._p, self._road, self._step = p, road, step
        self._occupied: list[tuple[float, float, float, float]] = []

    def fill(self, count: int) -> list[Thing]:
        """Return about `count` objects, in random proportions."""
        p, things = self._p, []
        mix = np.array(list(SHARES.values())) * p.rng.uniform(0.3, 1.7, len(SHARES))
        for label in p.rng.choice(list(SHARES), count, p=mix / mix.sum()).tolist():
            place = self._free_place(label)
            if place is not None:
                thing = Thing(label, SHAPES[label](p), *place)
                things += [thing, *self._riders(thing)]
        return things

    def _riders(self, below: Thing) -> list[Thing]:
        """Return the riders of a two-wheeler: none, one, or on a motorcycle two."""
        p = self._p
        motor = below.label == "motorcycle"
        if below.label not in ("motorcycle", "bicycle") or not p.chance(0.7 if motor else 0.55):
            return []
        seat, reach = (0.86, 0.5) if motor else (0.96, 0.62)
        places = [(0.0, 0.25), (-0.42, 0.15)] if motor and p.chance(0.25) else [(0.0, 0.25)]
        return [
            replace(below, label="rider", shape=two_wheelers.rider(p, seat=seat, reach=reach, place=place), shift=shift)
            for place, shift in places
        ]

    def _free_place(self, label: str) -> Place | None:
        """Return a free place, which is then occupied, or None where none was found in `TRIES` draws."""
        long, half = FOOTPRINTS[label][:2]
        for _ in range(TRIES):
            x, z, heading, speed = self._random_place(label)
            cosine, sine = abs(np.cos(heading)), abs(np.sin(heading))
            deep, wide = cosine * long + sine * half, sine * long + cosine * half
            if all(abs(x - a) > wide + c or abs(z - b) > deep + d for a, b, c, d in self._occupied):
                self._occupied.append((x, z, wide, deep))
                return x, z, heading, speed
        return None

    def _random_place(self, label: str) -> Place:
        """Return a place along the traffic, against it, across it, or beside the road."""
        p, road, (long, half, near, depth) = self._p, self._road, FOOTPRINTS[label]
        z = near + long + float(p.rng.gamma(1.6, 5.0 * depth))
        chances = [0.1, 0.1, 0.25, 0.55] if label in WALKERS else [0.3, 0.25, 0.17, 0.28]
        manner = p.rng.choice(["along", "against", "across", "beside"], p=chances)
        turn = p.uniform(-0.35, 0.35)
        if manner == "along":
            return p.uniform(road.left + half, road.middle), z, turn / 2, (0.0, self._step + p.uniform(-0.25, 0.25))
        if manner == "against":
            return p.uniform(road.middle, road.right - half), z, np.pi + turn / 2, (0.0, p.uniform(-0.5, 0.0))
        if manner == "across":
            side = 1.0 if p.chance(0.5) else -1.0
            speed = (side * p.uniform(0.0, 0.2), self._step * p.uniform(0.0, 0.8))
            return p.uniform(road.left, road.right), z, side * np.pi / 2 + turn * 2, speed
        side, edge = road.edges[int(p.rng.integers(2))]
        heading = float(p.rng.choice([0.0, np.pi, np.pi / 2, -np.pi / 2])) + turn
        return edge + side * (p.uniform(-0.2, 1.6) + half / 2), z + road.travel / 2, heading, (0.0, 0.0)
