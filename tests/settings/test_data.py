from fractions import Fraction

import pytest

from settings.data import DataSettings
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
