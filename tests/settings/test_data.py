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


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"folds": 5}, r"data\.folds and data\.fold go together\. Type also data\.fold=0, or another up to 4\."),
        ({"fold": 0}, r"data\.folds and data\.fold go together\. Type also data\.folds=5\."),
        ({"folds": 5, "fold": 5}, r"data\.fold=5: of data\.folds=5 the last one is 4\."),
        ({"folds": 5, "fold": -1}, r"data\.fold=-1: must be a whole number of at least 0"),
        ({"folds": 1, "fold": 0}, r"data\.folds=1: must be a whole number of at least 2 and at most 50"),
        ({"folds": 51, "fold": 0}, r"data\.folds=51: must be a whole number of at least 2 and at most 50"),
        ({"folds": 2.5, "fold": 0}, r"data\.folds=2\.5: must be a whole number of at least 2 and at most 50"),
        ({"folds": 5, "fold": 0, "split": "folders"}, r"data\.folds=5 deals .*, and data\.split=folders has them in splits"),
        ({"folds": 5, "fold": 0, "split": "/my/s.csv"}, r"data\.folds=5 deals .* data\.split=/my/s\.csv .* Leave one of"),
        ({"folds": 5, "fold": 0, "split": "sets/{split}.txt"}, r"data\.folds=5 deals .* data\.split=sets/\{split\}\.txt"),
    ],
)  # fmt: skip
def test_folds_that_make_no_sense_are_refused(keys, words):
    with pytest.raises(SettingsError, match=words) as refused:
        validated(RunSettings, PLAIN | {"data": LEGAL | keys})
    assert "\n" not in str(refused.value)


def test_folds_take_the_place_of_the_official_split_which_is_the_default_of_masks():
    assert DataSettings(**LEGAL | {"split": "official", "folds": 2, "fold": 1}).folds == 2
