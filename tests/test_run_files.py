import pickle

import pytest

from run_files import Environment, EpochRow, TimingRow, read_csv, read_json, read_rows
from run_folder import RunFolderError, write_csv, write_json


@pytest.mark.parametrize("harm", [b"", b"{", b"\xff\xfe", b"[1]", b"null"])
def test_json_that_is_none_is_named(tmp_path, harm):
    (tmp_path / "x.json").write_bytes(harm)
    with pytest.raises(RunFolderError, match=r"x\.json is damaged: "):
        read_json(tmp_path / "x.json")


def test_a_key_that_is_not_there_is_named_with_its_file(tmp_path):
    write_json(tmp_path / "x.json", {"weights": {"used": "none"}, "notes": [{"text": "a"}]})
    write_csv(tmp_path / "x.csv", [{"sample": "a"}])
    content, (row,) = read_json(tmp_path / "x.json"), read_csv(tmp_path / "x.csv")
    assert content == {"weights": {"used": "none"}, "notes": [{"text": "a"}]}
    assert (row, row.get("mask"), pickle.loads(pickle.dumps(content))) == ({"sample": "a"}, None, content)
    for lacking, key in ((content, "seed"), (content["weights"], "seed"), (content["notes"][0], "seed")):
        with pytest.raises(RunFolderError, match=r"x\.json is damaged: it lacks seed\."):
            lacking[key]
    with pytest.raises(RunFolderError, match=r"x\.csv is damaged: it lacks mask\."):
        row["mask"]


@pytest.mark.parametrize("content", [b"epoch\n\xff\n", b"epoch\n" + b"x" * 200_000 + b"\n"])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"history\.csv is damaged"):
        read_csv(tmp_path / "history.csv")
    (tmp_path / "status.json").write_bytes(b"[" * 100_000)
    with pytest.raises(RunFolderError, match=r"status\.json is damaged"):
        read_json(tmp_path / "status.json")


@pytest.mark.parametrize(
    ("facts", "place"),
    [
        ({"weights": {"used": 1}}, r"weights\.used"),
        ({"weights": None}, "weights"),
        ({"loggers": [1.5]}, r"loggers\.0"),
        ({"logger": {"kind": "wandb", "id": 3, "url": None}}, r"logger\.id"),
        ({"headline": None}, "headline"),
        ({"cores": "2"}, "cores"),
        ({"notes": "none"}, "notes"),
        ({"resumed": [1]}, r"resumed\.0"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_file_and_key(tmp_path, facts, place):
    write_json(tmp_path / "environment.json", facts)
    with pytest.raises(RunFolderError, match=rf"environment\.json is damaged: {place}: "):
        read_json(tmp_path / "environment.json", Environment)


def test_what_is_not_read_and_what_earlier_versions_lack_is_left_as_it_is(tmp_path):
    facts = {"python": "3", "packages": {"torch": None}, "logger": {"kind": "csv", "id": None, "url": None}}
    write_json(tmp_path / "environment.json", facts)
    assert read_json(tmp_path / "environment.json", Environment) == facts


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e999}', r'{"a": "\ud800"}'])
def test_json_that_cannot_be_written_again_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"x\.json is damaged: "):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("epoch,val/loss\n0,0.5\n1,road\n", "row 2: val/loss"),
        ("epoch,val/loss\n0.5,1\n", "row 1: epoch"),
        ("epoch,val/loss\n0\n", "row 1 has more or fewer"),
        ("epoch,val/loss\n0,1,2\n", "row 1 has more or fewer"),
        ("step\n1\n", "row 1: epoch"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_row(tmp_path, table, place):
    (tmp_path / "history.csv").write_text(table)
    with pytest.raises(RunFolderError, match=rf"history\.csv is damaged: {place}"):
        read_rows(tmp_path / "history.csv", EpochRow)


def test_scores_that_were_not_computed_are_empty_cells(tmp_path):
    write_csv(tmp_path / "history.csv", [{"epoch": 0, "train/loss": 0.5, "val/loss": None}])
    assert read_rows(tmp_path / "history.csv", EpochRow) == [{"epoch": "0", "train/loss": "0.5", "val/loss": ""}]
    assert read_rows(tmp_path / "missing.csv", EpochRow) == []
    with pytest.raises(RunFolderError, match="row 1: steps: Field required"):
        read_rows(tmp_path / "history.csv", TimingRow)
