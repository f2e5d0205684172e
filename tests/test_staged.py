"""A run that reads a staged copy is the run that reads the original, and does not need the copy afterwards."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

import datamodules.base
from tests.test_train import QUICK

DATA = ("data=image_folder", "data.cache=false", *QUICK)


@pytest.fixture
def read(monkeypatch):
    """The folders that images are read from."""
    folders, original = set(), datamodules.base.read_image

    def spy(path, bits):
        folders.add(path.parent.parent)
        return original(path, bits)

    monkeypatch.setattr(datamodules.base, "read_image", spy)
    return folders


def scores(folder: Path):
    return {
        key: value
        for key, value in json.loads((folder / "evaluation/test/scores.json").read_text()).items()
        if key != "run"
    }


def test_a_staged_run_has_the_same_split_weights_and_scores_and_goes_on_without_the_copy(
    run_command, image_folder, read, tmp_path
):
    root, disk = f"data.root={image_folder}", tmp_path / "disk"
    plain = run_command("train", *DATA, root)
    assert (plain.code, read) == (0, {image_folder}), plain.err
    read.clear()
    answer = run_command("train", *DATA, root, f"data.stage={disk}", "trainer.max_epochs=1")
    assert answer.code == 0, answer.err
    (copy,) = disk.iterdir()
    assert read == {copy}
    assert "Copying 36 files" in answer.err
    for name in ("split.csv", "files.csv"):
        assert (answer.folder / name).read_bytes() == (plain.folder / name).read_bytes()
    settings = yaml.safe_load((answer.folder / "config.yaml").read_text())["data"]
    assert (settings["root"], settings["stage"]) == (str(image_folder), str(disk))

    shutil.rmtree(disk)
    read.clear()
    resumed = run_command("train", f"resume={answer.folder}", "trainer.max_epochs=2", "data.stage=false")
    assert (resumed.code, read, disk.exists()) == (0, {image_folder}, False), resumed.err
    assert scores(answer.folder) == scores(plain.folder)
    assert (answer.folder / "history.csv").read_text().count("\n") == 3

    read.clear()
    evaluated = run_command("evaluate", f"run={plain.folder}", f"data.stage={disk}", "data.cache=false")
    assert (evaluated.code, read) == (0, {copy}), evaluated.err
    assert scores(plain.folder) == scores(answer.folder)
    assert "stage: false" in (plain.folder / "config.yaml").read_text()


def test_true_stages_below_the_cache_folder(run_command, image_folder, read, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path / "job"))
    typed = ("data.cache_dir=${oc.env:SLURM_TMPDIR}/cache", "data.stage=true", "trainer.max_epochs=1")
    answer = run_command("train", *DATA, f"data.root={image_folder}", *typed)
    assert answer.code == 0, answer.err
    (copy,) = (tmp_path / "job" / "cache" / "staged").iterdir()
    assert read == {copy}
    assert {path.name.partition("-")[0] for path in (tmp_path / "job" / "cache").iterdir()} == {"audit", "staged"}
    settings = yaml.safe_load((answer.folder / "config.yaml").read_text())["data"]
    assert (settings["cache_dir"], settings["stage"]) == (str(tmp_path / "job" / "cache"), True)


def test_what_is_no_folder_is_refused(run_command, image_folder, tmp_path):
    (tmp_path / "file").touch()
    for value, reason in (("1", "must be true, false or the path of a folder"), ("file", "Not a directory")):
        answer = run_command("train", *DATA, f"data.root={image_folder}", f"data.stage={value}")
        assert (answer.code, reason in answer.err) == (2, True), answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
