"""Paths that lead nowhere, or elsewhere than their key needs: what is there is named, and the line to type."""

import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from entry.config.paths import as_override, missing, no_run
from entry.config.resolve import resolved
from entry.errors import RequestError
from run_folder import RunFolder, RunFolderError, is_run
from tests.entry.config.test_resolve import request


def make_run(folder: Path) -> Path:
    """A run folder with an evaluation and a checkpoint."""
    for part in ("checkpoints", "evaluation/test"):
        (folder / part).mkdir(parents=True)
    for name in (
        "config.yaml",
        "evaluation/test/config.yaml",
        "evaluation/test/scores.json",
        "checkpoints/last.ckpt",
        "checkpoints/epoch3.ckpt",
    ):
        (folder / name).write_text("seed: 0\n")
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_run(tmp_path / "runs" / "2026-01-02" / "10-11-12_custom_cnn_image_folder")


@pytest.mark.parametrize(
    ("part", "key", "line"),
    [
        ("checkpoints/last.ckpt", "run", "run={run} checkpoint=last"),
        ("checkpoints/last.ckpt", "resume", "resume={run}"),
        ("checkpoints", "run", "run={run}"),
        ("checkpoints/epoch3.ckpt", "run", "run={run} checkpoint={run}/checkpoints/epoch3.ckpt"),
        ("checkpoints/epoch4.ckpt", "run", "run={run}"),
        ("evaluation/test", "run", "run={run} split=test"),
        ("evaluation/test/scores.json", "run", "run={run} split=test"),
        ("evaluation/test", "resume", "resume={run}"),
        ("config.yaml", "resume", "resume={run}"),
    ],
)
def test_what_lies_in_a_run_folder_names_that(run, part, key, line):
    sentence = no_run(key, run / part)
    assert sentence.startswith(f"{key}={run / part} ")
    assert sentence.endswith(f"Type {line.format(run=run)}")
    assert ("does not exist, but its run folder does" in sentence) == (part == "checkpoints/epoch4.ckpt")


def test_an_evaluations_folder_is_no_run(run):
    assert is_run(run)
    assert not is_run(run / "evaluation" / "test")


def test_a_folder_above_runs_names_the_newest(run, tmp_path):
    for folder in (run.parent, tmp_path / "runs", tmp_path):
        assert (
            no_run("resume", folder)
            == f"resume={folder}: is no run folder; there are 1 below it. The newest: resume={run}"
        )


def test_a_sweeps_folder_names_its_runs(tmp_path):
    for number in (0, 2, 10):
        make_run(tmp_path / "10-11-12_sweep" / str(number))
    sweep = tmp_path / "10-11-12_sweep"
    assert (
        no_run("run", sweep)
        == f"run={sweep}: is the folder of a sweep, with the runs 0, 2, 10. Give one of them: run={sweep}/0"
    )


def test_a_checkpoint_alone_can_only_be_weights(tmp_path):
    torch.save({}, tmp_path / "mine.ckpt")
    assert no_run("run", tmp_path / "mine.ckpt").endswith(
        f"Give a run folder, or use its weights: model.weights={tmp_path / 'mine.ckpt'}"
    )


def test_an_archive_is_unpacked_first(run):
    for kind in ("zip", "gztar"):
        archive = Path(shutil.make_archive(str(run), kind, run.parent, run.name))
        assert no_run("run", archive) == f"run={archive}: is an archive of a run. Unpack it, and give the folder."
        moved = run.rename(run.with_name("elsewhere"))
        assert (
            no_run("run", run)
            == f"run={run}: there is no such folder, but {archive.name} beside it. Unpack that first."
        )
        moved.rename(run)
        archive.unlink()
    with zipfile.ZipFile(run.with_suffix(".zip"), "w") as other:
        other.writestr("readme.txt", "")
    assert "is a file, not a folder" in no_run("run", run.with_suffix(".zip"))


def test_a_relative_path_from_another_folder_is_found(run, monkeypatch, tmp_path):
    relative = run.relative_to(tmp_path)
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep")
    assert no_run("run", relative.absolute()).endswith(f"there is no such folder. Did you mean run={run}?")


def test_a_misspelt_run_is_found_by_its_neighbours(run):
    for wrong in (run.with_name("10-11-13_custom_cnn_image_folder"), run.parent.with_name("2026-01-03") / run.name):
        assert no_run("resume", wrong) == f"resume={wrong}: there is no such folder. Did you mean resume={run}?"


def test_without_a_resemblance_the_newest_run_is_named(run, tmp_path):
    assert no_run("run", tmp_path / "zzz").endswith(f"there is no such folder. The newest run here: run={run}")
    shutil.rmtree(tmp_path / "runs")
    assert no_run("run", tmp_path / "zzz").endswith("Give the folder that train.py named.")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("/a/b-1_2.3", "key=/a/b-1_2.3"),
        ("/a b", "'key=\"/a b\"'"),
        ("/a=b", "'key=\"/a=b\"'"),
        ("/Straße", "'key=\"/Straße\"'"),
    ],
)
def test_what_is_advised_can_be_typed(value, line):
    assert as_override("key", value) == line


def test_a_missing_path_is_answered_by_what_resembles_it_or_what_is_there(tmp_path):
    (tmp_path / "Pictures").mkdir()
    sentence = missing("data.root", tmp_path / "pictures" / "more")
    assert sentence.startswith(
        f"data.root={tmp_path}/pictures/more: there is no such file or folder. {tmp_path} has Pictures."
    )
    (tmp_path / "Pictures" / "more").mkdir()
    assert f"Did you mean data.root={tmp_path}/Pictures/more?" in missing("data.root", tmp_path / "pictures" / "more")
    assert missing("model.weights", tmp_path / "imagnet").endswith(
        "model.weights is auto, none, imagenet, coco_voc, efficientnet_lite0 or the path of a checkpoint."
    )


def test_every_missing_path_is_named_before_anything_is_imported_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ("data=image_folder", "data.root=absent", "data.split=absent.csv", "model.weights=absent.pt")
    with pytest.raises(RequestError) as refusal:
        resolved(request(tmp_path, *typed))
    lines = str(refusal.value).splitlines()
    assert [line.split("=")[0] for line in lines] == ["data.root", "data.split", "model.weights"]
    segments = (
        "model=deeplabv3_mobilenet_v3_large",
        "data=mask_folder",
        f"data.root={tmp_path}",
        "data.label_space=idd_levle3",
    )
    with pytest.raises(RequestError, match=r"data\.label_space=idd_levle3: there is no label space 'idd_levle3'"):
        resolved(request(tmp_path, *segments))


def test_the_embedded_streets_may_be_made_where_nothing_is(tmp_path):
    assert resolved(request(tmp_path, f"data.root={tmp_path / 'new'}")).data.root == str(tmp_path / "new")


def test_a_checkpoint_that_is_not_there_names_those_that_are(run):
    folder = RunFolder(run)
    assert folder.checkpoint("last") == run / "checkpoints/last.ckpt"
    with pytest.raises(RunFolderError, match=r"checkpoint=best: there is no .*best\.ckpt\. Type checkpoint=last\."):
        folder.checkpoint("best")
    (run / "checkpoints/last.ckpt").unlink()
    with pytest.raises(RunFolderError, match=rf"has written none yet; continue it with python train\.py resume={run}"):
        folder.checkpoint("best")
