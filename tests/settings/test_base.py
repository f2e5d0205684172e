import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from settings.base import Group, Number, PathError, Size, Target, absolute, as_typed, is_csv, override
from settings.errors import SettingsError
from settings.run import validated


def test_values_are_written_as_they_are_typed():
    assert as_typed({"a": [1, None, True], "b": "c"}) == "{a:[1,null,true],b:c}"


TEXTS = [
    "road",
    "golden retriever",
    "a(b)",
    "a,b",
    "Hündin",
    "1e5",
    "007",
    "0",
    "true",
    "null",
    " x",
    "a:b",
    "a=b",
    "x.jpg",
    "/my/data",
    "~",
    "100%",
    'it\'s "fine"',
    "C:\\data\\",
    'back\\"quote',
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_typed_so_that_hydra_reads_them_back(text):
    def read(line):
        return OverridesParser.create().parse_override(line).value()

    assert read(f"key={as_typed([text, 'b'])}") == [text, "b"]
    assert read(f"key={as_typed({'a': text, 'b': [text]})}") == {"a": text, "b": [text]}
    [line] = shlex.split(override("key", text))
    assert read(line) == text


def test_paths_are_absolute_and_expanded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert absolute("~/c") == "/home/someone/c"
    assert absolute("c/d") == str(tmp_path / "c/d")
    assert absolute("") == ""
    with pytest.raises(PathError, match="it is an address, and files are read"):
        absolute("https://example.org/a.pth")
    assert absolute("/e") == str(Path("/e"))


@pytest.mark.parametrize(
    ("value", "is_one"), [("a.csv", True), ("A.CSV", True), ("a.tsv", True), ("csv", False), (3, False), (None, False)]
)
def test_csv_files_are_known_by_their_ending(value, is_one):
    assert is_csv(value) is is_one


class Sizes(Group):
    size: Size
    scale: Number = 1.0


def test_only_given_keys_are_written_and_numbers_stay_as_they_are():
    assert validated(Sizes, {"size": [3, 4]}).to_dict() == {"size": [3, 4]}
    assert validated(Sizes, {"size": [3, 4], "scale": 5}).to_dict()["scale"] == 5
    assert isinstance(validated(Sizes, {"size": [3, 4], "scale": 5}).to_dict()["scale"], int)


def test_nothing_is_converted():
    for wrong in ("3", 3.0, True):
        with pytest.raises(SettingsError):
            validated(Sizes, {"size": [wrong, 4]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_number_is_finite(value):
    with pytest.raises(SettingsError, match=r"scale=.*: must be a number"):
        validated(Sizes, {"size": [3, 4], "scale": value})


def test_a_target_keeps_its_arguments():
    values = {"_target_": "torch.optim.Adam", "_partial_": True, "betas": [0.9, 0.99]}
    target = validated(Target, values)
    assert target.target == "torch.optim.Adam"
    assert target.to_dict() == values


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ("/data/idd", "key=/data/idd"), ("/my data", "'key=/my data'"), ("/a=b", "'key=\"/a=b\"'"), (["/a", "/b"], "'key=[/a,/b]'"),
        (["/a b", "/c"], "'key=[/a b,/c]'"), ("sets/{split}.txt", "'key=\"sets/{split}.txt\"'"),
    ],
)  # fmt: skip
def test_an_override_can_be_typed_as_it_is_shown(value, typed):
    assert override("key", value) == typed
    parsed = OverridesParser.create().parse_overrides([shlex.split(typed)[0]])[0].value()
    assert [str(each) for each in parsed] == value if isinstance(value, list) else str(parsed) == value
