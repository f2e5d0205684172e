import hashlib
import json
import os

import numpy as np
import pytest
from PIL import Image

import datamodules.files.audit
from datamodules.files.audit import Finding, audit, inspect_image


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for number, size in enumerate([(4, 6), (5, 5), (7, 3)]):
        Image.fromarray(np.full((*size, 3), number, np.uint8)).save(root / f"{number}.png")
    (root / "text.jpg").write_text("no image")
    (root / "empty.jpg").touch()
    return root


NAMES = ["2.png", "0.png", "1.png", "text.jpg", "empty.jpg", "gone.jpg"]


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded."""
    names = []

    def spy(path, stamp):
        names.append(path.name)
        return inspect_image(path, stamp)

    monkeypatch.setattr(datamodules.files.audit, "inspect_image", spy)
    return names


def test_all_findings_come_at_once_in_the_order_given(folder, tmp_path):
    findings = audit(folder, NAMES, tmp_path / "cache")
    assert list(findings) == NAMES
    first = (folder / "0.png").stat()
    digest = hashlib.blake2b((folder / "0.png").read_bytes(), digest_size=16).hexdigest()
    assert findings["0.png"] == Finding(first.st_size, first.st_mtime_ns, digest, 4, 6, None)
    assert [findings[name].error is None for name in NAMES] == [True, True, True, False, False, False]
    assert "not an image" in findings["text.jpg"].error
    assert "empty file" in findings["empty.jpg"].error
    assert "No such file" in findings["gone.jpg"].error


def test_a_second_audit_reads_only_what_is_new_changed_or_broken(folder, tmp_path, decoded):
    first = audit(folder, NAMES, tmp_path / "cache")
    decoded.clear()
    again = audit(folder, NAMES, tmp_path / "cache")
    assert sorted(decoded) == ["empty.jpg", "text.jpg"]
    assert again == first
    decoded.clear()
    Image.new("RGB", (9, 9)).save(folder / "1.png")
    Image.new("RGB", (2, 2)).save(folder / "new.png")
    os.utime(folder / "1.png", ns=(1, 1))
    findings = audit(folder, ["0.png", "1.png", "new.png"], tmp_path / "cache")
    assert sorted(decoded) == ["1.png", "new.png"]
    assert (findings["1.png"].height, findings["new.png"].height) == (9, 2)


def test_a_broken_memory_is_ignored(folder, tmp_path, decoded):
    cache = tmp_path / "cache"
    expected = audit(folder, NAMES, cache)
    (memory,) = cache.iterdir()
    stored = json.loads(memory.read_text())
    for text in (
        "",
        "{",
        "[]",
        '{"pillow": 1}',
        json.dumps(stored | {"pillow": "0.1"}),
        json.dumps(stored | {"files": {"0.png": 1}}),
    ):
        memory.write_text(text)
        decoded.clear()
        assert audit(folder, NAMES, cache) == expected
        assert {"0.png", "1.png", "2.png"} <= set(decoded)


def test_two_roots_have_two_memories_and_an_unwritable_one_does_no_harm(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (3, 3)).save(other / "0.png")
    audit(folder, ["0.png"], tmp_path / "cache")
    assert audit(other, ["0.png"], tmp_path / "cache")["0.png"].height == 3
    assert len(list((tmp_path / "cache").iterdir())) == 2
    (tmp_path / "file").touch()
    assert audit(folder, ["0.png"], tmp_path / "file")["0.png"].height == 4


def test_an_interrupted_audit_is_continued(folder, tmp_path, decoded):
    def interrupted(path, stamp):
        if path.name == "1.png":
            raise KeyboardInterrupt
        return inspect_image(path, stamp)

    with pytest.raises(KeyboardInterrupt):
        audit(folder, NAMES[:3], tmp_path / "cache", inspect=interrupted)
    audit(folder, NAMES[:3], tmp_path / "cache")
    assert decoded == ["1.png"]


def test_what_is_no_file_and_names_that_are_not_text_are_findings(folder, tmp_path):
    os.mkfifo(folder / "pipe.jpg")  # reading it would wait for ever
    (folder / "folder.jpg").mkdir()
    odd = os.fsdecode(b"\xff.png")
    findings = audit(folder, ["pipe.jpg", "folder.jpg", odd], tmp_path / "cache")
    assert findings["pipe.jpg"].error == findings["folder.jpg"].error == "not a regular file"
    assert "not valid UTF-8" in findings[odd].error


def test_a_bar_shows_on_stderr_only_where_it_takes_long(folder, tmp_path, monkeypatch, capsys):
    audit(folder, NAMES, tmp_path / "cache")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(datamodules.files.audit, "PATIENCE", 0)
    audit(folder, NAMES, tmp_path / "cache2")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Checking images" in shown.err
