import csv
import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import run_folder
from run_folder import (
    RunFolder,
    RunFolderError,
    Status,
    atomic,
    fitting_name,
    folder_name,
    free_name,
    write_csv,
    write_json,
    write_table,
)
from tests.names import NAMES


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"miou": 0.5})

    def fail_half_way() -> None:
        with atomic(path) as file:
            file.write(b'{"miou"')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert json.loads(path.read_text()) == {"miou": 0.5}
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


def test_json_refuses_what_is_undefined(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"iou": float("nan")})
    assert [p.name for p in tmp_path.iterdir()] == []


def test_csv_quotes_and_leaves_none_empty(tmp_path):
    write_csv(tmp_path / "t.csv", [{"name": 'a,"b"', "iou": None}])
    assert (tmp_path / "t.csv").read_bytes() == b'name,iou\n"a,""b""",\n'


def test_a_folder_is_claimed_once(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim("seed: 0\n", ["seed=0"])
    assert (folder.config.read_text(), folder.overrides.read_text()) == ("seed: 0\n", "seed=0\n")
    with pytest.raises(RunFolderError, match=r"already holds a run.*resume="):
        RunFolder(tmp_path / "run").claim("seed: 1\n", [])
    assert folder.config.read_text() == "seed: 0\n"


def test_opening_what_is_no_run_names_the_folder(tmp_path):
    with pytest.raises(RunFolderError, match="no such folder"):
        RunFolder.open(tmp_path / "absent")
    with pytest.raises(RunFolderError, match=r"no config\.yaml"):
        RunFolder.open(tmp_path)


def test_names_are_free_only_where_nothing_lies(tmp_path):
    (tmp_path / "run").mkdir()
    assert free_name(tmp_path / "run") == tmp_path / "run"  # empty: nobody's
    (tmp_path / "run" / "config.yaml").touch()
    assert free_name(tmp_path / "run") == tmp_path / "run_2"


def test_status_tells_how_it_ended_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "HEARTBEAT_SECONDS", 0.01)
    status = Status(tmp_path / "status.json")
    status.start()
    first = json.loads(status.path.read_text())
    assert (first["state"], first["pid"], first["finished"]) == ("running", os.getpid(), None)
    time.sleep(0.05)
    status.finish("failed", 1, "ValueError: no")
    time.sleep(0.05)  # a late heartbeat must not undo it
    last = json.loads(status.path.read_text())
    assert (last["state"], last["exit_code"], last["error"]) == ("failed", 1, "ValueError: no")
    assert last["seconds"] >= 0.05


def _run_forever(path: Path) -> None:
    Status(path).start()
    signal.pause()


def test_a_killed_process_leaves_an_honest_status(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_run_forever, args=(tmp_path / "status.json",))
    process.start()
    while not (tmp_path / "status.json").exists():
        time.sleep(0.01)
    process.kill()
    process.join()
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["pid"], status["exit_code"]) == ("running", process.pid, None)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with pytest.raises(RunFolderError, match="cannot be written to"), RunFolder(tmp_path).in_use():
        pass


def test_who_comes_alone_clears_away_what_the_killed_have_left(tmp_path):
    def leave():
        (tmp_path / ".ranks-1.tmp").mkdir(exist_ok=True)
        (tmp_path / "evaluation/.test.1.new").mkdir(parents=True, exist_ok=True)

    leave()
    with RunFolder(tmp_path).in_use():
        assert [path.name for path in tmp_path.rglob("*")] == ["evaluation"]
        leave()  # this time by somebody who is at work
        with RunFolder(tmp_path).in_use():
            assert len([*tmp_path.rglob("*")]) == 3


def test_where_folders_cannot_be_locked_nothing_is_cleared_away(tmp_path, monkeypatch):
    def cannot(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    (tmp_path / ".ranks-1.tmp").mkdir()
    monkeypatch.setattr("fcntl.flock", cannot)
    with RunFolder(tmp_path).in_use():
        assert [path.name for path in tmp_path.iterdir()] == [".ranks-1.tmp"]


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def test_a_table_holds_each_cell_at_its_place_whatever_the_columns_are_called(tmp_path):
    cells = [[str(number) for number in range(len(NAMES))], list(reversed(NAMES))]
    write_table(tmp_path / "t.csv", NAMES, cells)
    assert rows(tmp_path / "t.csv") == [list(NAMES), *cells]
    write_table(tmp_path / "same.csv", ["void", "void"], [[1, None], ["a\rb", None]])
    assert rows(tmp_path / "same.csv") == [["void", "void"], ["1", ""], ["a\rb", ""]]


def test_a_row_with_a_column_that_the_table_lacks_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"t\.csv has no column b"):
        write_csv(tmp_path / "t.csv", [{"a": 1}, {"a": 1, "b": 2}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x" * 250 + ".json"])
def test_a_name_of_the_longest_length_can_be_written(tmp_path, name):
    write_json(tmp_path / name, [1])
    write_json(tmp_path / name, [2])
    assert [(path.name, json.loads(path.read_text())) for path in tmp_path.iterdir()] == [(name, [2])]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_folder_is_one_folder_whatever_its_parts_are_called(tmp_path, name):
    folder = tmp_path / folder_name("12-00-00", "model", name)
    for _ in range(3):
        (free_name(folder) / "inside").mkdir(parents=True)
    found = sorted(tmp_path.iterdir())
    assert [path.name.removeprefix(folder.name) for path in found] == ["", "_2", "_3"]
    assert not any("=" in path.name or "\n" in path.name for path in found)
    assert folder.name.startswith("12-00-00_model_")


def test_names_that_fit_stay_and_long_ones_stay_different():
    assert folder_name("12-00-00", "custom_cnn", "my data") == "12-00-00_custom_cnn_my data"
    assert fitting_name("x" * 251, ".png") == "x" * 251 + ".png"
    long = [fitting_name("é" * 200 + end, ".png") for end in "ab"]
    assert len(set(long)) == 2
    assert all(len(name.encode()) <= 255 and name.endswith(".png") for name in long)


FILLED = """
import json, os, sys
from pathlib import Path
from run_folder import Status
status = Status(Path(sys.argv[1]) / "status.json")
status.start()
try:
    (Path(sys.argv[1]) / "data").write_bytes(bytes(10_000_000))
except OSError as error:
    status.finish("failed", 1, f"{type(error).__name__}: {error}")
print(json.dumps(json.loads(status.path.read_text())))
print(sorted(os.listdir(sys.argv[1])))
"""


def test_status_is_true_after_the_disk_has_filled_up(tmp_path):
    typed = f"mount -t tmpfs -o size=64k none {tmp_path} && '{sys.executable}' -c '{FILLED}' {tmp_path}"
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    root = Path(run_folder.__file__).parent
    answer = subprocess.run(
        ["unshare", "-rm", "bash", "-c", typed], cwd=root, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    facts, files = answer.stdout.splitlines()
    assert (json.loads(facts)["state"], json.loads(facts)["exit_code"]) == ("failed", 1)
    assert "No space left on device" in json.loads(facts)["error"]
    assert files == "['data', 'status.json']"
