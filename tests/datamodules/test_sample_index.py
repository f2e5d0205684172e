"""Samples are found and split once; what a split lacks is refused; what cannot be used is named or left out."""

import pytest

from datamodules.errors import DatasetError
from datamodules.splits.sample_table import Candidate, SampleTable, order_hash
from tests.datamodules.conftest import Toy

CHOICE = "chosen on val, which is also what is reported"


@pytest.fixture
def make(make_toy):
    return make_toy


class Ready(Toy):
    """Samples with splits of their own, two in each group; `splits` lists them."""

    splits = ("train", "train", "val")

    def find(self):
        return [
            Candidate(f"{target}{n}", f"group {n // 2}", target, self.splits[n % len(self.splits)])
            for n in range(12)
            for target in ("a", "b")
        ]


def test_samples_are_found_and_split_once(make):
    module = make(prepare=False)
    module.find_samples()
    table = module.table
    assert {split: len(table.indices(split)) for split in ("train", "val", "test")} == {
        "train": 42,
        "val": 6,
        "test": 12,
    }
    module.prepare_training()
    module.prepare_split("test")
    assert module.table is table
    assert module.names == [sample.name for sample in table.samples]


def test_one_class_and_empty_splits_are_refused(make):
    class OneClass(Toy):
        def filter_split(self, table):
            return SampleTable(sample for sample in table.samples if sample.target == "bus")

    class NoVal(Toy):
        def filter_split(self, table):
            return SampleTable(sample for sample in table.samples if sample.split != "val")

    with pytest.raises(DatasetError, match=r"one class|1 class only \(bus\)"):
        make(kind=OneClass)
    with pytest.raises(
        DatasetError, match=r"val has no samples; type data\.select_from=train: .* train \(42\), test \(12\)\."
    ):
        make(kind=NoVal)
    module = make(kind=NoVal, select_from="train")
    assert (module.selection_split, module.closing_split) == ("select", "test")


def test_an_empty_split_is_refused_where_it_is_needed(make):
    module = make(kind=Ready, prepare=False, split="official")
    module.find_samples()
    module.prepare_split("val")
    with pytest.raises(
        DatasetError, match=r"data=toy: test has no samples; change data\.split\. There are train \(16\), val \(8\)"
    ):
        module.prepare_split("test")


def test_lists_of_names_are_refused_where_they_are_not_read(make):
    with pytest.raises(
        DatasetError, match=r"data\.split=sets/\{split\}\.txt: data=toy reads no lists of names; give a CSV"
    ):
        make(split="sets/{split}.txt").find_samples()


def test_the_note_on_selection_is_given_once_and_only_for_training(make):
    module = make(kind=Ready, prepare=False, split="official")
    module.find_samples()
    module.prepare_split("val")
    assert not any(CHOICE in note for note in module.notes)
    module.prepare_training()
    module.prepare_training()
    assert sum(CHOICE in note for note in module.notes) == 1
    assert module.selection_split == "val"


def test_torn_groups_are_noted(make):
    module = make(kind=Ready, prepare=False, split="official")
    module.find_samples()  # splits t t v t t v …, groups of two numbers: 1 (2, 3), 2 (4, 5), 4 (8, 9), 5 (10, 11)
    assert [note.split(". ")[0] for note in module.notes] == [
        "Groups (drives) torn apart by the split: 4 of 6, such as group 1 (train, val)"
    ]


def test_the_test_split_is_the_closing_split_unless_given(make):
    assert make(kind=Ready, split="official").test_split == "val"
    module = make(test_split="val")
    assert (module.closing_split, module.test_split) == ("test", "val")
    with pytest.raises(AttributeError):
        module.test_split = "train"


def test_a_part_of_train_is_fixed_by_hashes_of_names(make):
    module = make()
    train = [module.names[index] for index in module.indices("train")]
    chosen = {module.names[index] for index in module.part_of_train(5)}
    assert chosen == set(sorted(train, key=lambda name: order_hash(0, name))[:5])
    assert len(module.part_of_train()) == 6  # as many as val has
    assert module.indices("train_eval") == module.part_of_train()


def test_a_file_is_found_in_any_of_several_roots(make, root, tmp_path):
    class TwoRoots(Toy):
        @property
        def roots(self):
            return (tmp_path / "other", root)

    module = make(kind=TwoRoots, prepare=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x").touch()
    assert module.file("x") == tmp_path / "other/x"
    assert module.file("cart-00") == root / "cart-00"


class Named(Toy):
    """Ten samples of each of the classes `named`."""

    named = ()

    def find(self):
        return [
            Candidate(f"{place}-{n}", f"{place}-{n}", name) for place, name in enumerate(self.named) for n in range(10)
        ]


def test_names_that_unicode_writes_in_two_ways_are_refused(make):
    class Twice(Named):
        named = ("caf\u00e9", "tea", "cafe\u0301")

    with pytest.raises(DatasetError, match=r"\('cafe\\u0301' and 'caf\\xe9'\)\. Give such a class one name"):
        make(kind=Twice)


def test_names_that_are_easily_confused_and_void_are_noted_and_kept_apart(make):
    class Similar(Named):
        named = ("Car", "car", "car ", "void", "bus")

    module = make(kind=Similar)
    assert module.label_space.classes == ("Car", "bus", "car", "car ", "void")
    assert "Classes whose names are easily confused: 'Car' and 'car' and 'car '." in module.notes
    assert [note for note in module.notes if note.startswith("A class is called void: read confusion.csv by place")]
