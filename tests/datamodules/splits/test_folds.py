"""Folds of a cross-validation against sklearn's, and on cases that can be worked out by hand."""

from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from datamodules.errors import DatasetError
from datamodules.splits.sample_table import Candidate
from datamodules.splits.split import make_table
from settings.data import DataSettings

TRASHNET = {"cardboard": 403, "glass": 501, "metal": 410, "paper": 594, "plastic": 482, "trash": 137}


def settings(fold=0, folds=5, **keys):
    parts = {"train": 0.7, "val": 0.1, "test": 0.2}
    rest = {"name": "x", "split": parts, "image_size": (8, 8), "cache_dir": "c", "eval_batch_size": 4}
    return DataSettings(**rest | {"folds": folds, "fold": fold} | keys)


def images(counts):
    names = [(target, f"{target}/{number}.jpg") for target, count in counts.items() for number in range(count)]
    return [Candidate(name, name, target) for target, name in names]


def drives(seed, number=60):
    """Drives of very different sizes, each with a preference for some classes."""
    draws = np.random.default_rng(seed)
    found = []
    for drive in range(number):
        shares = draws.dirichlet(np.array([0.5, 0.25, 0.12, 0.08, 0.05]) * 4)
        classes = draws.choice(5, int(draws.lognormal(3, 0.8)) + 1, p=shares)
        found += [Candidate(f"{drive:03}/{i:04}", f"{drive:03}", str(target)) for i, target in enumerate(classes)]
    return found


def tables(found, folds=5, **keys):
    return [make_table(found, settings(fold, folds, **keys))[0] for fold in range(folds)]


def names_of(table, *splits):
    return {table.samples[index].name for split in splits for index in table.indices(split)}


def test_each_sample_is_tested_once_and_a_group_stays_whole():
    found = drives(0)
    made = tables(found, split_by="group")
    tested = Counter(name for table in made for name in names_of(table, "test"))
    assert tested == Counter(candidate.name for candidate in found)
    for table in made:
        assert len(table) == len(found)
        of_group = {}
        for sample in table.samples:
            of_group.setdefault(sample.group, set()).add(sample.split)
        assert all(len(splits) == 1 for splits in of_group.values())
        assert table.is_complete


def test_images_are_in_proportion_as_in_sklearn():
    found = images(TRASHNET)
    target = np.array([candidate.target for candidate in found])
    theirs = [Counter(target[test]) for _, test in StratifiedKFold(5, shuffle=True).split(target, target)]
    most = max(abs(counts[name] - TRASHNET[name] / 5) for counts in theirs for name in TRASHNET)
    made = tables(found)
    assert sorted(len(table.indices("test")) for table in made) == [505, 505, 505, 506, 506]
    assert max(abs(table.counts("test")[name] - TRASHNET[name] / 5) for table in made for name in TRASHNET) <= most + 1
    assert len(made[0].indices("val")) == int(0.1 * (2527 - len(made[0].indices("test"))))


@pytest.mark.parametrize("seed", range(5))
def test_drives_are_stratified_as_well_as_by_sklearn(seed):
    found = drives(seed)
    target, group = (np.array([getattr(each, key) for each in found]) for key in ("target", "group"))
    theirs = [Counter(target[test]) for _, test in StratifiedGroupKFold(5).split(target, target, group)]
    ours = [table.counts("test") for table in tables(found, split_by="group")]
    total = Counter(target.tolist())

    def distance(folds):
        return np.sqrt(np.mean([(fold[name] / total[name] - 0.2) ** 2 for fold in folds for name in total]))

    assert distance(ours) <= 1.2 * distance(theirs)
    assert max(map(len, (names_of(t, "test") for t in tables(found, split_by="group")))) < 1.1 * len(found) / 5


def test_folds_depend_on_the_seed_and_not_on_the_order_or_the_fold_that_is_tested():
    found = drives(1)
    made = tables(found, split_by="group")
    shuffled = [found[index] for index in np.random.default_rng(0).permutation(len(found))]
    again = tables(shuffled, split_by="group")
    assert [table.sha256() for table in made] == [table.sha256() for table in again]
    other = tables(found, split_by="group", split_seed=1)
    assert names_of(other[0], "test") != names_of(made[0], "test")
    aside = [names_of(table, "val") for table in made]
    assert len(aside[0] & aside[1]) < len(aside[0])  # each fold puts others aside


def test_a_fraction_is_taken_first():
    found = images({"a": 100, "b": 50})
    tested = [set().union(*(names_of(t, "test") for t in tables(found, fraction=part))) for part in (0.3, 0.6, 1.0)]
    assert [len(each) for each in tested] == [45, 90, 150]
    assert tested[0] < tested[1] < tested[2]


def test_equal_files_and_their_drives_are_in_one_fold():
    found = [Candidate(f"{i}.jpg", f"{i}.jpg", "ab"[i % 2], content=str(i // 4)) for i in range(80)]
    for table in tables(found):
        split = {sample.name: sample.split for sample in table.samples}
        assert all(len({split[f"{i + j}.jpg"] for j in range(4)}) == 1 for i in range(0, 80, 4))
    joined = [Candidate(f"{d}/{i}", str(d), "ab"[i % 2], content="same" if i == 0 and d < 2 else None) for d in range(12) for i in range(4)]  # fmt: skip
    for table in tables(joined, folds=4, split_by="group"):
        split = {sample.group: sample.split for sample in table.samples}
        assert split["0"] == split["1"]


def test_official_splits_are_pooled_with_a_note_and_a_tenth_becomes_val():
    found = [Candidate(f"{d:02}/{i}", f"{d:02}", "mask", "val" if d > 17 else "train") for d in range(20) for i in range(5)]  # fmt: skip
    table, notes = make_table(found, settings(split="official", split_by="group"))
    assert [len(table.indices(split)) for split in ("train", "val", "test")] == [70, 10, 20]
    assert "data.folds=5: the 100 samples of all splits of the dataset are dealt to folds." in notes
    assert "The exact sizes train 72, val 8, test 20 are impossible because groups stay whole" in " ".join(notes)


def test_a_class_in_fewer_groups_than_folds_is_noted_where_it_is_not_tested():
    rare = [Candidate(f"{d}/rare", str(d), "rare") for d in range(3)]
    found = [Candidate(f"{d}/{i}", str(d), "common") for d in range(15) for i in range(4)] + rare
    answers = [make_table(found, settings(fold, split_by="group")) for fold in range(5)]
    lacking = [table.counts("test")["rare"] == 0 for table, _ in answers]
    assert sum(lacking) == 2
    assert ["test has no sample of rare." in notes for _, notes in answers] == lacking
    assert all(table.counts("train")["rare"] > 0 for table, _ in answers)


@pytest.mark.parametrize("fold", range(4))
@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([Candidate(f"{d}/{i}", str(d), "a") for d in range(3) for i in range(9)], "there are 3 groups without a file in common, and 4 or more"),
        ([Candidate(f"{d}/{i}", str(d), "b" if d == 7 else "a") for d in range(9) for i in range(9)], "no sample of b in train"),
    ],
)  # fmt: skip
def test_folds_that_cannot_be_tested_are_refused_whichever_is_requested(found, words, fold):
    with pytest.raises(DatasetError, match=rf"data\.folds=4, data\.split_by=group: .*{words}"):
        make_table(found, settings(fold, 4, split_by="group"))


def test_two_folds_of_two_groups_leave_none_to_choose_a_checkpoint_on():
    found = [Candidate(f"{d}/{i}", str(d), "a") for d in range(2) for i in range(9)]
    with pytest.raises(DatasetError, match=r"there are 2 groups .* 3 or more are needed"):
        make_table(found, settings(0, 2, split_by="group"))
