"""Units of samples and their splits, on cases that can be worked out by hand."""

from collections import Counter
from fractions import Fraction

import pytest

from datamodules.splits.group_assignment import fill, join_units, place
from datamodules.splits.sample_table import SPLITS, Candidate

HALF = {"train": Fraction(1, 2), "val": Fraction(1, 4), "test": Fraction(1, 4)}


def candidate(name, group=None, target="a", content=None):
    return Candidate(name, group or name, target, content=content)


def members(units):
    return sorted([member.name for member in unit.members] for unit in units)


def test_samples_are_joined_by_content_and_by_group_where_requested():
    found = [
        candidate("1", "g", content="x"),
        candidate("2", "g"),
        candidate("3", "h", content="x"),
        candidate("4", "i", content="y"),
    ]
    assert members(join_units(found, by_group=False, seed=0)) == [["1", "3"], ["2"], ["4"]]
    assert members(join_units(found, by_group=True, seed=0)) == [["1", "2", "3"], ["4"]]


def test_a_unit_counts_its_classes():
    [unit] = join_units([candidate("1", "g", "a"), candidate("2", "g", "b"), candidate("3", "g", "a")], True, 0)
    assert unit.counts == Counter(a=2, b=1)


def groups(**sizes):
    found = [candidate(f"{name}{number}", name) for name, size in sizes.items() for number in range(size)]
    return [unit for unit in join_units(found, by_group=True, seed=0) if len(unit.members) > 1]


@pytest.mark.parametrize("exact", [True, False])
def test_large_units_come_first_and_fill_the_largest_split(exact):
    placed = place(groups(a=8, b=4, c=4), [], HALF, {"train": 8, "val": 4, "test": 4}, exact=exact)
    split_of = {unit.members[0].group: split for unit, split in placed.items()}
    assert split_of["a"] == "train"
    assert {split_of["b"], split_of["c"]} == {"val", "test"}


def test_no_split_stays_empty_where_there_are_enough_units():
    placed = place(groups(a=20, b=2, c=2), [], HALF, {"train": 12, "val": 6, "test": 6}, exact=False)
    assert set(placed.values()) == set(SPLITS)


def test_single_samples_fill_every_split_to_its_exact_size():
    together = groups(a=3, b=2)
    placed = {unit: "train" if len(unit.members) == 3 else "val" for unit in together}
    single = join_units([candidate(f"s{number}", target="b") for number in range(7)], by_group=False, seed=0)
    quotas = Counter({("train", "b"): 3, ("val", "b"): 1, ("test", "b"): 3})
    filled = fill(placed, single, quotas, {"train": 6, "val": 3, "test": 3})
    assert Counter(filled.values()) == {"train": 3, "val": 1, "test": 3}


def test_each_class_is_brought_into_every_split_where_possible():
    single = join_units(
        [
            candidate(f"{target}{number}", target=target)
            for target, n in {"a": 9, "b": 3}.items()
            for number in range(n)
        ],
        by_group=False,
        seed=0,
    )
    quotas = Counter({("train", "a"): 4, ("val", "a"): 2, ("test", "a"): 3, ("train", "b"): 3})
    filled = fill({}, single, quotas, {"train": 6, "val": 3, "test": 3})
    assert Counter((split, unit.members[0].target) for unit, split in filled.items() if split != "train") == {
        ("val", "a"): 2, ("val", "b"): 1, ("test", "a"): 2, ("test", "b"): 1,
    }  # fmt: skip
