from fractions import Fraction

import pytest

from settings.data import DataSettings
from settings.errors import SettingsError
from settings.run import RunSettings, validated
from tests.settings.conftest import PLAIN

LEGAL = PLAIN["data"]


def test_sizes_become_tuples_of_height_and_width():
    assert DataSettings(**LEGAL).image_size == (48, 64)
    assert DataSettings(**LEGAL | {"eval_size": [96, 128]}).eval_size == (96, 128)


def test_fractions_are_the_decimals_that_were_typed():
    assert DataSettings(**LEGAL).fractions() == {
        "train": Fraction(7, 10),
        "val": Fraction(1, 10),
        "test": Fraction(2, 10),
    }
    with pytest.raises(TypeError, match=r"data\.split=official holds no fractions"):
        DataSettings(**LEGAL | {"split": "official"}).fractions()


@pytest.mark.parametrize("split", ["official", "folders", "/my/split.csv", "/my/SPLIT.CSV", "sets/{split}.txt"])
def test_a_split_may_be_a_name_a_csv_or_lists(split):
    assert DataSettings(**LEGAL | {"split": split}).split == split


def test_every_path_is_absolute_and_expanded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    found = DataSettings(**LEGAL | {"root": ["~/a", "b"], "cache_dir": "~/c", "split": "s.csv", "label_space": "l.csv"})
    assert found.root == ["/home/someone/a", str(tmp_path / "b")]
    assert (found.cache_dir, found.split, found.label_space) == (
        "/home/someone/c",
        str(tmp_path / "s.csv"),
        str(tmp_path / "l.csv"),
    )
    assert DataSettings(**LEGAL | {"label_space": "idd_lite"}).label_space == "idd_lite"


def test_a_name_is_that_of_one_class():
    assert DataSettings(**LEGAL | {"classes": ["void", "Void", " void"]}).classes == ["void", "Void", " void"]
    with pytest.raises(ValueError, match=r"data\.classes=\[road,sky,road\]: a name .* but road is there twice"):
        DataSettings(**LEGAL | {"classes": ["road", "sky", "road"]})


def test_names_that_hydra_reads_as_numbers_are_texts():
    assert DataSettings(**LEGAL | {"classes": [0, "a", 2019]}).classes == ["0", "a", "2019"]
    folders = DataSettings(**LEGAL | {"split": "folders", "folders": {"train": [1, 2], "val": 3}}).folders
    assert folders.splits() == {"1": "train", "2": "train", "3": "val"}
    assert DataSettings(**LEGAL).folders.splits() == {}


@pytest.mark.parametrize(
    ("folders", "split", "words"),
    [
        ({"train": "a", "test": "b"}, LEGAL["split"], r"data\.folders=\{train:a,test:b\} needs data\.split=folders"),
        ({"train": "a", "test": ["b", "a"]}, "folders", "one folder is named twice"),
        ({"val": "a", "test": "b"}, "folders", "name folders of train, and of val or test"),
        ({"train": "a"}, "folders", "name folders of train, and of val or test"),
        ({"train": True, "val": "a"}, "folders", r"must be a folder directly under data\.root"),
    ],
)
def test_folders_that_make_no_sense_are_refused(folders, split, words):
    with pytest.raises(SettingsError, match=words):
        validated(RunSettings, PLAIN | {"data": LEGAL | {"split": split, "folders": folders}})
