import pickle

import pytest

from run_files import read_csv, read_json
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
