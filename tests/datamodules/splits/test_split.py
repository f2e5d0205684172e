import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from datamodules.errors import DatasetError
from datamodules.splits.sample_table import SPLITS, Candidate
from datamodules.splits.split import make_table, split_candidates, take_fraction
from settings.data import DataSettings

PARTS = {"train": 0.7, "val": 0.1, "test": 0.2}
TRASHNET = {"cardboard": 403, "glass": 501, "metal": 410, "paper": 594, "plastic": 482, "trash": 137}


def settings(**keys):
    return DataSettings(
        **{"name": "x", "split": PARTS, "image_size": (8, 8), "cache_dir": "c", "eval_batch_size": 4} | keys
    )


def candidates(counts):
    names = [(target, f"{target}/{number}.jpg") for target, count in counts.items() for number in range(count)]
    return [Candidate(name, name, target) for target, name in names]


def sizes(table):
    return [len(table.indices(split)) for split in SPLITS]


def sides(table):
    return {sample.name: sample.split for sample in table.samples}


def test_sizes_are_exact_and_every_class_is_in_proportion():
    table, notes = make_table(candidates(TRASHNET), settings())
    assert sizes(table) == [1768, 252, 507]
    assert notes == []
    for split, part in PARTS.items():
        for target, count in table.counts(split).items():
            assert abs(count - part * TRASHNET[target]) < 2


def test_sizes_are_floors_of_decimals_not_of_floats():
    assert int(0.7 * 90) == 62  # what a float would give
    assert sizes(make_table(candidates({"a": 45, "b": 45}), settings())[0]) == [63, 9, 18]


def test_a_split_is_the_same_whatever_the_order_and_another_with_another_seed():
    found = candidates({"a": 40, "b": 60})
    table = make_table(found, settings())[0]
    shuffled = [found[index] for index in np.random.default_rng(0).permutation(len(found))]
    assert make_table(shuffled, settings())[0].sha256() == table.sha256()
    other = make_table(found, settings(split_seed=1))[0]
    assert sizes(other) == sizes(table)
    assert sides(other) != sides(table)


def test_a_split_is_the_same_in_another_process():
    code = (
        "from tests.datamodules.splits.test_split import *\n"
        "table = make_table(candidates(TRASHNET), settings(fraction=0.3))[0]; print(table.sha256())"
    )
    here = make_table(candidates(TRASHNET), settings(fraction=0.3))[0].sha256()
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(Path(__file__).parents[3])}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_fractions_are_nested_stratified_and_exact():
    found = candidates(TRASHNET)
    inner = set(take_fraction(found, 0.3, seed=0))
    assert len(inner) == 758  # floor(0.3 * 2527)
    assert len(take_fraction(found, 0.5, seed=0)) == 1263  # 1263.5, not rounded
    assert len(take_fraction(found[:90], 0.7, seed=0)) == 63  # a float would give 62
    for target, count in Counter(candidate.target for candidate in inner).items():
        assert abs(count - 0.3 * TRASHNET[target]) <= 1
    taken = [set(take_fraction(found, fraction, seed=0)) for fraction in (0.3, 0.31, 0.5, 0.9, 1.0)]
    assert all(smaller < larger for smaller, larger in pairwise(taken))
    assert len(take_fraction(found, 1e-9, seed=0)) == 1
    assert set(take_fraction(found, 0.3, seed=1)) != inner


def test_a_fraction_of_ready_splits_keeps_each_of_them():
    found = [replace(c, split=SPLITS[number % 10 > 6]) for number, c in enumerate(candidates({"a": 100, "b": 100}))]
    taken = Counter((candidate.split, candidate.target) for candidate in take_fraction(found, 0.1, seed=0))
    assert taken == {("train", "a"): 7, ("val", "a"): 3, ("train", "b"): 7, ("val", "b"): 3}


def test_every_class_with_three_samples_is_in_every_split():
    table, notes = make_table(candidates({"many": 200, "few": 3, "four": 4}), settings())
    assert sizes(table) == [144, 20, 43]
    assert notes == []
    for split in SPLITS:
        assert min(table.counts(split).values()) >= 1


def test_where_the_sizes_leave_no_room_for_a_class_they_give_way_and_it_is_said():
    table, notes = make_table(candidates({"a": 3, "b": 3}), settings())
    assert {split: table.counts(split) for split in SPLITS} == {split: {"a": 1, "b": 1} for split in SPLITS}
    assert "train 4, val 0, test 2" in notes[0]
    assert "the split is train 2, val 2, test 2" in notes[0]


def test_fewer_samples_than_splits_are_refused_by_name():
    with pytest.raises(DatasetError, match=r"3 splits: a \(2\), c \(1\)"):
        make_table(candidates({"a": 2, "b": 30, "c": 1}), settings())
    with pytest.raises(DatasetError, match=r"with data\.fraction=0\.1 .*a \(2\)"):
        make_table(candidates({"a": 20, "b": 300}), settings(fraction=0.1))
    with pytest.raises(DatasetError, match=r"data\.fraction=0\.01 leaves no sample of a"):
        make_table(candidates({"a": 20, "b": 2000}), settings(fraction=0.01))


def torn(table, found):
    """Content and groups that lie on more than one side."""
    side = sides(table)
    where = defaultdict(set)
    for candidate in found:
        if candidate.content is not None:
            where["content", candidate.content].add(side[candidate.name])
        where["group", candidate.group].add(side[candidate.name])
    return {key for key, splits in where.items() if len(splits) > 1}


@pytest.mark.parametrize("seed", range(8))
def test_copies_stay_on_one_side_and_the_sizes_exact(seed):
    dice = np.random.default_rng(seed)
    found = candidates({name: int(dice.integers(20, 80)) for name in "abcd"})
    found = [
        replace(candidate, content=str(dice.integers(len(found)))) for candidate in found
    ]  # about a third has a copy
    table, notes = make_table(found, settings(split_seed=seed))
    assert torn(table, found) == set()
    count = len(found)
    assert sizes(table) == [count * 7 // 10, count // 10, count - count * 7 // 10 - count // 10]
    assert all(min(table.counts(split).values()) >= 1 for split in SPLITS)
    totals = Counter(candidate.target for candidate in found)
    for split, part in PARTS.items():
        assert all(abs(number - part * totals[target]) < 6 for target, number in table.counts(split).items())
    assert any("Byte-identical copies: " in note for note in notes)


def test_exact_sizes_come_before_proportions_where_few_samples_are_single():
    pairs = [replace(c, content=str(number // 2)) for number, c in enumerate(candidates({"a": 16}))]
    table, _ = make_table(
        [*pairs, *(Candidate(f"single{number}", f"single{number}", "a") for number in range(3))], settings()
    )
    assert sizes(table) == [13, 1, 5]


def test_where_copies_make_the_sizes_impossible_the_nearest_are_taken_and_said():
    found = [replace(c, content=str(number // 2)) for number, c in enumerate(candidates({"a": 20}))]
    table, notes = make_table(found, settings(split={"train": 0.65, "val": 0.15, "test": 0.2}))
    assert torn(table, found) == set()
    assert sorted(sizes(table)) in ([2, 4, 14], [4, 4, 12])  # 13, 3, 4 from pairs: one sample off in two splits
    assert any("train 13, val 3, test 4 are impossible because copies" in note for note in notes)


def test_copies_under_different_classes_are_reported_with_an_example():
    found = candidates({"a": 10, "b": 10})
    found[0] = replace(found[0], content="same")
    found[10] = replace(found[10], content="same")
    table, notes = make_table(found, settings())
    assert torn(table, found) == set()
    assert any(
        note.startswith("Byte-identical files under different classes: 1, such as a/0.jpg and b/0.jpg")
        for note in notes
    )


def test_classes_of_copies_only_are_refused_where_they_cannot_all_be_learnt():
    found = [replace(candidate, content=candidate.target) for candidate in candidates({"a": 4, "b": 4, "c": 4})]
    with pytest.raises(DatasetError, match="too few different images"):
        make_table(found, settings())


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_never_torn_and_sizes_are_near(seed):
    dice = np.random.default_rng(seed)
    found = []
    for drive in range(30):
        for number in range(dice.integers(5, 60)):
            target = str(dice.choice(list("abcde"), p=[0.5, 0.25, 0.12, 0.08, 0.05]))
            found.append(Candidate(f"{drive}/{number}", f"drive{drive}", target))
    table, notes = make_table(found, settings(split_by="group"))
    assert torn(table, found) == set()
    for size, part in zip(sizes(table), PARTS.values(), strict=True):
        assert abs(size / len(found) - part) < 0.03
    totals = Counter(candidate.target for candidate in found)
    for split, part in PARTS.items():
        counts = table.counts(split)
        assert min(counts.values()) >= 1
        assert abs(counts["a"] / totals["a"] - part) < 0.05
    assert all("groups stay whole" in note for note in notes)


def test_every_split_gets_a_group_and_every_class_where_possible():
    found = [
        Candidate(f"{group}/{number}", group, "a")
        for group in ("big", "x", "y")
        for number in range(90 if group == "big" else 2)
    ]
    table = make_table(found, settings(split_by="group"))[0]
    assert sorted(sizes(table)) == [2, 2, 90]
    assert sizes(table)[0] == 90
    # The rare class lives in three small drives: each split must get one of them.
    found = [Candidate(f"{g}/{number}", f"{g}", "a") for g in range(20) for number in range(20)]
    found += [Candidate(f"{g}/rare", f"{g}", "rare") for g in range(3)]
    table = make_table(found, settings(split_by="group"))[0]
    assert [table.counts(split)["rare"] for split in SPLITS] == [1, 1, 1]


def test_the_last_group_of_one_sample_goes_to_the_split_that_is_empty():
    found = [
        Candidate(f"{group}/{number}", group, "a")
        for group, size in (("x", 33), ("y", 4), ("z", 1))
        for number in range(size)
    ]
    assert sorted(sizes(make_table(found, settings(split_by="group"))[0])) == [1, 4, 33]


def test_groups_that_are_all_joined_by_shared_files_are_refused():
    found = [Candidate(f"{g}/{n}", f"{g}", "a", content="same" if n == 0 else None) for g in range(9) for n in range(4)]
    with pytest.raises(DatasetError, match="has only 1 groups without a file in common, too few for 3 splits"):
        make_table(found, settings(split_by="group"))


def test_groups_that_share_a_file_are_one():
    found = [Candidate(f"{g}/{n}", f"{g}", "a", content=f"{g}-{n}") for g in range(12) for n in range(10)]
    found[0] = replace(found[0], content="shared")
    found[119] = replace(found[119], content="shared")
    for seed in range(8):
        table = make_table(found, settings(split_by="group", split_seed=seed))[0]
        assert torn(table, found) == set()
        assert sides(table)["0/5"] == sides(table)["11/5"]


def test_too_few_groups_are_refused():
    found = [Candidate(f"{g}/{n}", f"{g}", "a") for g in range(2) for n in range(10)]
    with pytest.raises(DatasetError, match="2 groups are too few for 3 splits"):
        make_table(found, settings(split_by="group"))


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_csv_of_samples_and_splits_decides_and_the_rest_is_left_out(tmp_path):
    path = write(tmp_path / "s.csv", "sample,split", "a/0.jpg,test", "a/1.jpg,train", "b/0.jpg,val")
    table, notes = make_table(candidates({"a": 3, "b": 1}), settings(split=path))
    assert sides(table) == {"a/0.jpg": "test", "a/1.jpg": "train", "b/0.jpg": "val"}
    assert [sample.target for sample in table.samples] == ["a", "a", "b"]
    assert f"Samples that are not in {path}: 1 of 4; they are left out." in notes
    assert "train has no sample of b." in notes


def test_a_runs_own_table_comes_back_to_the_byte(tmp_path):
    found = candidates({"a": 40, "b": 60})
    table = make_table(found, settings(fraction=0.5))[0]
    table.write_csv(tmp_path / "split.csv")
    again, notes = make_table(found, settings(split=str(tmp_path / "split.csv"), fraction=0.5))
    assert again.sha256() == table.sha256()
    assert any("data.fraction=0.5 is not applied" in note for note in notes)


def test_a_csv_can_rename_groups_and_classes(tmp_path):
    lines = [
        f"{name},drive,other,{split}" for name, split in zip(("a/0.jpg", "a/1.jpg", "a/2.jpg"), SPLITS, strict=True)
    ]
    path = write(tmp_path / "s.csv", "sample,group,target,split", *lines)
    table, notes = make_table(candidates({"a": 3}), settings(split=path))
    assert {(sample.group, sample.target) for sample in table.samples} == {("drive", "other")}
    assert any(note.startswith("Samples with another class") and "found: 3;" in note for note in notes)


def test_a_csv_that_names_what_is_not_there_is_refused_with_a_few_names(tmp_path):
    path = write(tmp_path / "s.csv", "sample,split", *(f"gone/{number}.jpg,train" for number in range(8)))
    with pytest.raises(
        DatasetError,
        match=r"lists 8 samples that were not found or cannot be read: gone/0\.jpg, .*gone/4\.jpg and 3 more",
    ):
        make_table(candidates({"a": 3}), settings(split=path))


def test_a_fraction_of_a_csv_without_classes_is_taken_from_what_it_lists(tmp_path):
    path = write(tmp_path / "s.csv", "sample,split", *(f"a/{n}.jpg,{SPLITS[n % 3]}" for n in range(60)))
    table, _ = make_table(candidates({"a": 90}), settings(split=path, fraction=0.5))
    assert sizes(table) == [10, 10, 10]


def test_ready_splits_are_kept_and_copies_across_them_reported():
    found = [replace(c, split=SPLITS[number % 3], content=str(number)) for number, c in enumerate(candidates({"a": 9}))]
    assert split_candidates(found, settings(split="folders"))[1] == []
    found[1] = replace(found[1], content="0")
    table, notes = split_candidates(found, settings(split="folders"))
    assert sides(table) == {candidate.name: candidate.split for candidate in found}
    assert "a/0.jpg (train) and a/1.jpg (val)" in notes[0]


def test_a_split_that_the_dataset_has_not_is_refused():
    with pytest.raises(DatasetError, match="data=x has no such split; give fractions"):
        make_table(candidates({"a": 9}), settings(split="official"))


def test_large_datasets_are_split_quickly():
    found = candidates(dict.fromkeys("abcdefghij", 1000))
    found = [replace(candidate, content=str(number // 2)) for number, candidate in enumerate(found)]
    began = time.monotonic()
    table, _ = make_table(found, settings(fraction=0.9))
    assert time.monotonic() - began < 5
    assert sizes(table) == [6300, 900, 1800]


def test_a_csv_may_write_names_in_another_way_of_unicode_than_the_disk(tmp_path):
    once, twice = "caf\u00e9", "cafe\u0301"
    found = [Candidate(f"{twice}/{n}.jpg", f"{twice}/{n}.jpg", twice) for n in range(6)]
    found += [Candidate(f"plain/{n}.jpg", f"plain/{n}.jpg", "plain") for n in range(6)]
    path, parts = tmp_path / "split.csv", ("train", "train", "train", "val", "val", "test")
    rows = [f"{name}/{n}.jpg,{name}/{n}.jpg,{name},{part}" for name in (once, "plain") for n, part in enumerate(parts)]
    path.write_text("\n".join(["sample,group,target,split", *rows]), encoding="utf-8")
    table, _ = make_table(found, settings(split=str(path)))
    assert sizes(table) == [6, 4, 2]
    assert [sample.group for sample in table.samples] == [sample.name for sample in table.samples]
    assert {sample.name for sample in table.samples} == {candidate.name for candidate in found}
    assert len({sample.target for sample in table.samples}) == 2
    path.write_text(path.read_text(encoding="utf-8") + f"\n{twice}/0.jpg,g,c,val\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="keep one of"):
        make_table(found, settings(split=str(path)))
