import csv
import hashlib

import pytest

from datamodules.errors import DatasetError
from datamodules.splits.listed import read_rows
from datamodules.splits.sample_table import COLUMNS, Sample, SampleTable, order_hash, split_of, torn_groups
from tests.names import draw

ROWS = [
    Sample("b/2.png", "drive 2", "bus", "val"),
    Sample('a/1, "odd"\nname.png', "drive 1", "car", "train"),
    Sample("c/3.json#0", "drive 3", "bus", "train"),
    Sample("d/é.png", "drive 4", "car", "test"),
]


def test_samples_are_sorted_and_found_by_split():
    table = SampleTable(ROWS)
    assert [sample.name[0] for sample in table.samples] == ["a", "b", "c", "d"]
    assert len(table) == 4
    assert table.indices("train") == [0, 2]
    assert table.counts("val") == {"bus": 1, "car": 0}


def test_written_and_read_again_it_is_the_same(tmp_path):
    path = tmp_path / "split.csv"
    SampleTable(ROWS).write_csv(path)
    assert tuple(Sample(*row.values()) for row in read_rows(path, COLUMNS)) == SampleTable(ROWS).samples
    assert [entry.name for entry in tmp_path.iterdir()] == ["split.csv"]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["sample", "group", "target", "split"]
    assert rows[1] == ['a/1, "odd"\nname.png', "drive 1", "car", "train"]
    assert b"\r" not in path.read_bytes()


def test_the_hash_is_that_of_the_file_and_of_a_split_alone(tmp_path):
    path = tmp_path / "split.csv"
    table = SampleTable(ROWS)
    table.write_csv(path)
    assert table.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    text = "sample,group,target,split\nb/2.png,drive 2,bus,val\n"
    assert table.sha256("val") == hashlib.sha256(text.encode()).hexdigest()
    assert SampleTable(reversed(ROWS)).sha256() == table.sha256()


def test_a_table_in_which_a_sample_repeats_or_has_no_split_is_refused():
    with pytest.raises(DatasetError, match=r"b/2\.png stands twice"):
        SampleTable([*ROWS, Sample("b/2.png", "", "car", "train")])
    with pytest.raises(DatasetError, match="unknown split 'dev'"):
        SampleTable([Sample("a", "a", "a", "dev")])


def test_the_order_is_by_a_hash_of_seed_and_name():
    assert order_hash(3, "a/1.png") == int(hashlib.blake2b(b"3:a/1.png", digest_size=8).hexdigest(), 16)


def test_groups_in_several_splits_are_torn():
    members = [("b", "test"), ("b", "train"), ("a", "val"), ("a", "val"), ("c", "select"), ("c", "train")]
    assert torn_groups(members) == {"b": ["train", "test"], "c": ["train", "select"]}


@pytest.mark.parametrize("seed", range(30))
def test_a_table_of_any_names_is_read_back(tmp_path, seed):
    names = draw(seed, 6, 12)
    table = SampleTable(Sample(name, names[0], names[-1], "train") for name in names)
    table.write_csv(tmp_path / "split.csv")
    with (tmp_path / "split.csv").open(newline="", encoding="utf-8") as file:
        assert [Sample(*row) for row in list(csv.reader(file, strict=True))[1:]] == list(table.samples)


NAMES = {
    "train": ["train", "Train", "TRAIN", "training", "Training", "train_set", "trainset", "TrainingSet", "train2017",
              "01_train", "images_train", "train-images", "seg_train", "Train Data", "traindata", "trn"],
    "val": ["val", "Valid", "validation", "VALIDATION", "dev", "dev_set", "eval", "Evaluation", "val_256", "validation_set"],
    "test": ["test", "Testing", "TEST", "test_images", "Test Set", "holdout", "hold-out", "held_out", "tst", "test2"],
    None: ["bus", "trains", "fold1", "2019", "", "_", "train_bus", "valley", "contest", "devices", "strain", "A", "images",
           "unlabelled", "train_backup"],
}  # fmt: skip


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in NAMES.items() for name in names])
def test_a_split_is_recognised_by_the_usual_words_in_any_writing(split, name):
    assert split_of(name) == split
