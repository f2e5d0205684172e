"""Assign units of samples to splits or folds: those of several samples first, then the single ones to the exact sizes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice

from datamodules.splits.sample_table import Candidate, order_hash, stratified_order

PASSES = 20  # improving passes over the units; two or three suffice, the bound is for pathological data
SLIGHT = 1e-12  # a gain below this is rounding

Counts = Counter[tuple[str, str]]  # samples by (split, class)


@dataclass(frozen=True, eq=False)
class Unit:
    """Samples that must land in the same split; `order` is the hash that settles ties."""

    members: tuple[Candidate, ...]
    order: int

    @cached_property
    def counts(self) -> Counter[str]:
        """The number of samples of each class."""
        return Counter(member.target for member in self.members)


def join_units(found: Sequence[Candidate], by_group: bool, seed: int) -> list[Unit]:
    """Join samples that share content or (by group) a group; each unit's members are in the order of `found`."""
    parent = list(range(len(found)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[tuple[str, str], int] = {}
    for index, candidate in enumerate(found):
        keys = [("content", candidate.content)] if candidate.content is not None else []
        for key in [*keys, ("group", candidate.group)] if by_group else keys:
            other = root(first.setdefault(key, index))
            parent[root(index)] = other
    members = defaultdict(list)
    for index, candidate in enumerate(found):
        members[root(index)].append(candidate)
    return [Unit(tuple(unit), order_hash(seed, unit[0].name)) for unit in members.values()]


def deal(
    found: Sequence[Candidate], fractions: dict[str, Fraction], wanted: dict[str, int], *, by_group: bool, seed: int
) -> dict[Unit, str]:
    """Assign samples, sorted by name, to parts of the `wanted` sizes: each class in proportion, each unit whole.

    The sizes are met as nearly as equal content and, `by_group`, groups allow. A pure function of names, classes and the seed.
    """
    units = join_units(found, by_group, seed)
    spread = Counter(target for unit in units for target in unit.counts)
    sizes = wanted if by_group else _roomy(wanted, sum(count >= len(wanted) for count in spread.values()))
    order = iter(stratified_order(found, seed))
    quotas = Counter((part, candidate.target) for part in sizes for candidate in islice(order, sizes[part]))
    together = [unit for unit in units if len(unit.members) > 1]
    single = [unit for unit in units if len(unit.members) == 1]
    placed = place(together, single, fractions, sizes, exact=not by_group)
    return placed | fill(placed, single, quotas, sizes)


def _roomy(sizes: dict[str, int], least: int) -> dict[str, int]:
    """Return the nearest sizes of at least `least` each, so that every class fits into every split."""
    sizes = dict(sizes)
    for split in sizes:
        while sizes[split] < least:
            sizes[max(sizes, key=sizes.__getitem__)] -= 1
            sizes[split] += 1
    return sizes


def place(
    together: list[Unit], single: list[Unit], fractions: dict[str, Fraction], sizes: dict[str, int], *, exact: bool
) -> dict[Unit, str]:
    """Return the split of each unit of several samples.

    Largest first, each goes where the classes come nearest to their fractions. Then units move one by one while that
    fills an empty split or brings a class into a split that lacks it, else (`exact`) keeps within the sizes, else
    comes nearer to the fractions. The `single` units are assigned afterwards and can still fill gaps.
    """
    units = sorted(together, key=lambda unit: (-len(unit.members), unit.order, unit.members[0].name))
    state = _State(units, single, fractions, sizes, exact)
    for unit in units:
        state.move(unit, min(fractions, key=lambda split: state.change(unit, split)[1:]))
    for _ in range(PASSES):
        moved = False
        for unit in units:
            change, best = min((state.change(unit, split), split) for split in fractions)
            if change < (0, 0, -SLIGHT):
                state.move(unit, best)
                moved = True
        if not moved:
            break
    return state.split_of


class _State:
    """The splits of the units of several samples, and the distance from what is wanted."""

    def __init__(
        self, units: list[Unit], single: list[Unit], fractions: dict[str, Fraction], sizes: dict[str, int], exact: bool
    ) -> None:
        self.split_of: dict[Unit, str] = {}
        self._placed: Counts = Counter()
        self._filled: Counter[str] = Counter()  # split
        self._sizes = sizes
        self._exact = exact
        self._part = {split: float(fraction) for split, fraction in fractions.items()}
        self._single = Counter(target for unit in single for target in unit.counts)
        self._total = Counter(member.target for unit in [*units, *single] for member in unit.members)
        spread = Counter(target for unit in [*units, *single] for target in unit.counts)
        self._reachable = {target: min(len(sizes), count) for target, count in spread.items()}

    def move(self, unit: Unit, split: str) -> None:
        """Move a unit into a split."""
        self._shift(unit, self.split_of.get(unit), split)
        self.split_of[unit] = split

    def change(self, unit: Unit, split: str) -> tuple[int, int, float]:
        """Return what moving a unit adds to the gaps, the samples beyond the sizes, the distance from the fractions."""
        here = self.split_of.get(unit)
        before = self._badness(unit.counts)
        self._shift(unit, here, split)
        after = self._badness(unit.counts)
        self._shift(unit, split, here)
        return after[0] - before[0], after[1] - before[1], after[2] - before[2]

    def _shift(self, unit: Unit, source: str | None, target: str | None) -> None:
        for split, sign in ((source, -1), (target, 1)):
            if split is not None:
                self._filled[split] += sign * len(unit.members)
                for name, count in unit.counts.items():
                    self._placed[split, name] += sign * count

    def _badness(self, targets: Iterable[str]) -> tuple[int, int, float]:
        """Return gaps (classes missing in a split), samples beyond the sizes, and distance from the fractions."""
        sizes = [self._filled[split] for split in self._sizes]
        gaps = max(0, sizes.count(0) - self._single.total())
        beyond = sum(max(0, self._filled[split] - self._sizes[split]) for split in self._sizes) if self._exact else 0
        distance = len(self._total) * self._distance(sizes, sum(self._sizes.values()))
        for target in targets:
            counts = [self._placed[split, target] for split in self._sizes]
            covered = len(counts) - counts.count(0)
            gaps += max(0, self._reachable[target] - covered - self._single[target])
            distance += self._distance(counts, self._total[target])
        return gaps, beyond, distance

    def _distance(self, counts: Sequence[int], total: int) -> float:
        """Return the squared deviation relative to the fractions: few large units must not fill a small split."""
        parts = zip((self._part[split] for split in self._sizes), counts, strict=True)
        return sum((count / total - part) ** 2 / part for part, count in parts)


def fill(placed: Mapping[Unit, str], single: list[Unit], quotas: Counts, sizes: Mapping[str, int]) -> dict[Unit, str]:
    """Assign single units so that splits reach their sizes exactly, and classes their quotas as near as possible."""
    queues = defaultdict(list)
    for unit in sorted(single, key=lambda unit: (unit.order, unit.members[0].name)):
        queues[unit.members[0].target].append(unit)
    there: Counts = Counter()
    for unit, split in placed.items():
        for target, count in unit.counts.items():
            there[split, target] += count
    plan = _plan(there, {target: len(queue) for target, queue in sorted(queues.items())}, quotas, sizes)
    return {
        unit: split
        for target, queue in queues.items()
        for unit, split in zip(queue, (split for split in sizes for _ in range(plan[split, target])), strict=True)
    }


def _plan(there: Counts, available: Mapping[str, int], quotas: Counts, sizes: Mapping[str, int]) -> Counts:
    """Return how many single samples of each class go to each split: all that are available, to the room left."""
    cells = [(split, target) for split in sizes for target in available]
    open_quota = {cell: quotas[cell] - there[cell] for cell in cells}
    plan = Counter({cell: max(0, count) for cell, count in open_quota.items()})
    for target, count in available.items():
        for _ in range(sum(plan[split, target] for split in sizes) - count):
            plan[max(sizes, key=lambda split: plan[split, target]), target] -= 1
    room = _room(there, sizes, sum(available.values()))
    beyond = {split: sum(plan[split, target] for target in available) - room[split] for split in sizes}
    while (source := max(sizes, key=beyond.__getitem__)) and beyond[source] > 0:
        sink = min(sizes, key=beyond.__getitem__)

        def gain(target: str, source: str = source, sink: str = sink) -> tuple[int, int]:
            excess = {split: plan[split, target] - open_quota[split, target] for split in (source, sink)}
            return excess[source] - excess[sink], plan[source, target]

        chosen = max((target for target in available if plan[source, target] > 0), key=gain)
        _transfer(plan, chosen, source, sink)
        beyond[source] -= 1
        beyond[sink] += 1
    _cover(plan, there, available, sizes)
    return plan


def _room(there: Counts, sizes: Mapping[str, int], available: int) -> Counter[str]:
    """Return how many single samples each split gets, at most up to its size; an empty split keeps room for one."""
    filled: Counter[str] = Counter()
    for (split, _), count in there.items():
        filled[split] += count
    room = Counter({split: max(int(filled[split] == 0), sizes[split] - filled[split]) for split in sizes})
    for _ in range(room.total() - available):
        room[max(sizes, key=lambda split: (room[split] > (filled[split] == 0), room[split]))] -= 1
    return room


def _cover(plan: Counts, there: Counts, available: Iterable[str], splits: Iterable[str]) -> None:
    """Exchange single samples until each class is in every split where that is possible; no split's size changes."""

    def count(split: str, target: str) -> int:
        return plan[split, target] + there[split, target]

    for target in available:
        for bare in (split for split in splits if count(split, target) == 0):
            sources = [split for split in splits if plan[split, target] > 0 and count(split, target) > 1]
            others = [other for other in available if plan[bare, other] > 0 and count(bare, other) > 1]
            if sources and others:
                source = max(sources, key=lambda split: count(split, target))
                _transfer(plan, target, source, bare)
                _transfer(plan, max(others, key=lambda other: count(bare, other)), bare, source)


def _transfer(plan: Counts, target: str, source: str, sink: str) -> None:
    plan[source, target] -= 1
    plan[sink, target] += 1
