from fractions import Fraction

import pytest

from datamodules.errors import DatasetError
from datamodules.settings import DataSettings, typed

LEGAL = {
    "name": "image_folder",
    "split": {"train": 0.7, "val": 0.1, "test": 0.2},
    "image_size": [48, 64],
    "cache_dir": "cache",
    "eval_batch_size": 16,
}


def test_a_list_from_the_conf_becomes_a_tuple_of_height_and_width():
    assert DataSettings(**LEGAL).image_size == (48, 64)
    assert DataSettings(**LEGAL | {"eval_size": [96, 128]}).eval_size == (96, 128)


def test_fractions_are_the_decimals_that_were_typed():
    parts = DataSettings(**LEGAL).fractions()
    assert parts == {"train": Fraction(7, 10), "val": Fraction(1, 10), "test": Fraction(2, 10)}


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("fraction", 0, "data.fraction=0:"),
        ("fraction", 1.5, "data.fraction=1.5:"),
        ("fraction", float("nan"), "data.fraction=nan:"),
        ("fraction", True, "data.fraction=true:"),
        ("fraction", "half", "data.fraction=half:"),
        ("split", {"train": 0.7, "val": 0.1, "test": 0.3}, "must add to 1, not 1.1"),
        ("split", {"train": 0.7, "val": 0.1, "test": 0.2000001}, "must add to 1, not 1"),
        ("split", {"train": 0.7, "val": 0.3}, "data.split={train:0.7,val:0.3}: give a fraction for each"),
        ("split", {"train": 0.7, "val": 0.1, "tset": 0.2}, "for each of train, val and test"),
        ("split", {"train": 1.2, "val": -0.4, "test": 0.2}, "above 0"),
        ("split", {"train": 0.8, "val": 0, "test": 0.2}, "above 0"),
        ("split", {"train": "a", "val": 0.1, "test": 0.2}, "must be a number"),
        ("split", "oficial", "data.split=oficial: use official, folders"),
        ("split", None, "data.split=null"),
        ("split_by", "drive", "data.split_by=drive: use sample or group"),
        ("split_seed", -1, "data.split_seed=-1"),
        ("image_size", [64], "data.image_size=[64]: give two positive whole numbers"),
        ("image_size", [0, 64], "data.image_size=[0,64]"),
        ("image_size", [64.5, 64], "data.image_size=[64.5,64]"),
        ("image_size", 64, "data.image_size=64"),
        ("image_size", "64", "data.image_size=64"),
        ("image_size", None, "data.image_size=null"),
        ("eval_size", [64, -1], "data.eval_size=[64,-1]"),
        ("load_size", 64, "data.load_size=64"),
        ("num_workers", -1, "data.num_workers=-1"),
        ("num_workers", 1.5, "data.num_workers=1.5"),
        ("cache", "yes", "data.cache=yes: use auto, true or false"),
        ("cache_dir", "", "data.cache_dir="),
        ("on_corrupt", "skpi", "data.on_corrupt=skpi: use fail or skip"),
        ("on_corrupt", ["skip"], "data.on_corrupt=[skip]"),
        ("batch_size", 0, "data.batch_size=0: give a whole number of at least 1"),
        ("batch_size", True, "data.batch_size=true"),
        ("eval_batch_size", 0, "data.eval_batch_size=0"),
        ("drop_last", "no", "data.drop_last=no"),
        ("select_from", "val", "data.select_from=val"),
        ("train_eval_samples", 0, "data.train_eval_samples=0"),
        ("root", "", "data.root="),
        ("root", 3, "data.root=3"),
        ("root", [], "data.root=[]"),
        ("root", ["a", ""], "data.root=[a,]"),
        ("label_space", ["a"], "data.label_space=[a]"),
        ("classes", "road", "data.classes=road: give names such as [road,sky]"),
        ("classes", ["road", 3], "data.classes=[road,3]"),
        ("masks", "drawn", "data.masks=drawn: use polygons or files"),
    ],
)
def test_a_wrong_value_is_refused_with_the_key_as_typed(key, value, shown):
    with pytest.raises(DatasetError) as refusal:
        DataSettings(**LEGAL | {key: value})
    assert shown in str(refusal.value)
    assert str(refusal.value).startswith(f"data.{key}=")


@pytest.mark.parametrize("split", ["official", "folders", "some where/split=1.CSV"])
def test_named_splits_and_csv_files_are_legal(split):
    assert DataSettings(**LEGAL | {"split": split}).split == split


def test_a_root_that_is_needed_and_not_there_is_named(tmp_path):
    (tmp_path / "file").touch()
    for root, words in {
        None: "add data.root=FOLDER",
        str(tmp_path / "no=where"): "no=where does not exist",
        str(tmp_path / "file"): "not a folder",
    }.items():
        with pytest.raises(DatasetError, match=words):
            _ = DataSettings(**LEGAL | {"root": root}).root_folder
    assert DataSettings(**LEGAL | {"root": str(tmp_path)}).root_folder == tmp_path
    two = DataSettings(**LEGAL | {"root": [str(tmp_path), str(tmp_path.parent)]})
    assert two.root_folders == (tmp_path, tmp_path.parent)
    with pytest.raises(DatasetError, match="data=image_folder reads one folder"):
        _ = two.root_folder


@pytest.mark.parametrize(
    ("cores", "processes", "workers"), [(1, 1, 0), (2, 1, 1), (4, 1, 3), (64, 1, 8), (16, 4, 3), (2, 4, 0)]
)
def test_workers_leave_a_core_to_each_training_process(monkeypatch, cores, processes, workers):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert DataSettings(**LEGAL).worker_count(processes) == workers
    assert DataSettings(**LEGAL | {"num_workers": 5}).worker_count(processes) == 5


def test_values_are_shown_as_hydra_reads_them():
    assert typed({"a": [1, None], "b": True}) == "{a:[1,null],b:true}"
