import pytest

from datamodules.errors import DatasetError
from datamodules.splits.sample_table import Sample, SampleTable, order_hash
from datamodules.splits.selection import selection_note, with_selection
from tests.datamodules.splits.test_split import settings


def drives(*sizes, val=2):
    """A table with drives of so many frames in train, and one in val."""
    frames = [(f"d{drive}", frame, "train") for drive, size in enumerate(sizes) for frame in range(size)]
    frames += [("v", frame, "val") for frame in range(val)]
    return SampleTable(Sample(f"{drive}/{frame}", drive, "mask", split) for drive, frame, split in frames)


def aside(table, **keys):
    selected = with_selection(table, settings(split="official", select_from="train", **keys))
    return sorted({sample.group for sample in selected.samples if sample.split == "select"})


def test_a_tenth_of_train_is_put_aside_drive_by_drive_in_hashed_order():
    table = drives(*[1] * 20)
    first = sorted((f"d{n}" for n in range(20)), key=lambda group: order_hash(0, group))[:2]
    assert aside(table) == sorted(first)
    assert aside(drives(19, 1)) == ["d1"]  # room for two: the drive of 19 is passed over
    assert aside(drives(5, 4)) == ["d1"]  # no room at all: the smallest one
    with pytest.raises(DatasetError, match="train has one group only"):
        aside(drives(5))


def test_nothing_is_put_aside_where_there_are_val_and_test_or_a_csv_has_val():
    table, own = drives(5, 5), settings(split="official", select_from="train")
    tested = SampleTable([*table.samples, Sample("t", "t", "mask", "test")])
    assert with_selection(tested, own) is tested
    assert with_selection(table, settings(split="official")) is table
    assert with_selection(table, settings(split="a.csv", select_from="train")) is table
    assert selection_note(tested, own) is None
    assert "also what is reported" in selection_note(table, own)
    assert "give some samples of train the split select in the CSV" in selection_note(table, settings(split="a.csv"))
    assert "val is what is reported, and the best checkpoint is chosen on 5 samples of train" in selection_note(
        with_selection(table, own), own
    )


@pytest.mark.parametrize("split", ["folders", "a.csv"])
def test_without_val_the_choice_is_made_on_a_piece_of_train_with_each_class_in_proportion(split):
    sizes = {"a": 100, "b": 50, "few": 4}
    train = [Sample(f"{name}/{n}", f"{name}/{n}", name, "train") for name, size in sizes.items() for n in range(size)]
    table = SampleTable([*train, Sample("t", "t", "a", "test")])
    own = settings(split=split, select_from="train")
    chosen = with_selection(table, own)
    assert chosen.counts("select") == {"a": 10, "b": 5, "few": 0}
    assert chosen.counts("test") == table.counts("test")
    assert "There is no val, and the best checkpoint is chosen on 15 samples of train" in selection_note(chosen, own)
    assert with_selection(chosen, own) is chosen  # as a run's own CSV comes back
