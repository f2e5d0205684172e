"""evaluate.py: the same scores to the last digit, from the run's own split, and a message where it cannot."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from run_folder import RunFolder, RunFolderError
from tests.conftest import make_image_folder
from tests.test_train import QUICK, files_below


@pytest.fixture(scope="module")
def trained(run_shared_command, image_folder):
    answer = run_shared_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK)
    assert answer.code == 0, answer.err
    return answer.folder


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def scores(run, split="test"):
    return json.loads((run / "evaluation" / split / "scores.json").read_text())


def test_scores_are_repeated_to_the_last_digit(run_command, run):
    before = (run / "evaluation" / "test" / "scores.json").read_bytes()
    kept = {name: (run / name).read_bytes() for name in files_below(run) if not name.startswith("evaluation")}
    answer = run_command("evaluate", f"run={run}")
    assert answer.code == 0, answer.err
    assert answer.folder == run
    assert (run / "evaluation" / "test" / "scores.json").read_bytes() == before
    assert {name: (run / name).read_bytes() for name in files_below(run) if not name.startswith("evaluation")} == kept
    assert json.loads((run / "evaluation" / "test" / "status.json").read_text())["state"] == "finished"


def test_scores_in_double_precision_are_those_of_the_weights_that_were_kept(run_command, image_folder):
    typed = ("trainer.precision=64-true", "loss.class_weights=balanced", "trainer.max_epochs=1")
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, *typed)
    assert answer.code == 0, answer.err
    place = answer.folder / "evaluation/test"
    before = {name: (place / name).read_bytes() for name in ("scores.json", "per_sample.npz")}
    state = torch.load(answer.folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert {weight.dtype for weight in state.values() if weight.is_floating_point()} == {torch.float64}
    assert run_command("evaluate", f"run={answer.folder}").code == 0
    assert {name: (place / name).read_bytes() for name in before} == before


def test_another_split_and_another_checkpoint(run_command, run):
    answer = run_command("evaluate", f"run={run}", "split=val", "checkpoint=last")
    assert answer.code == 0, answer.err
    found = scores(run, "val")
    assert (found["split"], found["checkpoint"]["file"], found["checkpoint"]["epoch"]) == ("val", "last.ckpt", 1)
    assert found["n_expected"] == found["n_unique"] == 3


def test_the_split_is_the_runs_own_whatever_is_typed_now(run_command, run):
    before = scores(run)["split_sha256"]
    answer = run_command(
        "evaluate", f"run={run}", "data.split_seed=7", "data.fraction=0.5", f"hydra.run.dir={run.parent / 'new'}"
    )
    assert answer.code == 0
    assert "hydra.run.dir is ignored with run=: an evaluation lies in the folder of its run" in answer.out
    assert not (run.parent / "new").exists()
    assert "data.split_seed, data.fraction is ignored with run=: the split is the run's own split.csv" in answer.out
    assert scores(run)["split_sha256"] == before


def test_a_copy_of_the_data_and_a_moved_run_give_the_same(run_command, run, image_folder, tmp_path):
    before = scores(run)
    copied, moved = tmp_path / "copy", tmp_path / "elsewhere" / "run"
    shutil.copytree(image_folder, copied)
    moved.parent.mkdir()
    run.rename(moved)
    answer = run_command("evaluate", f"run={moved}", f"data.root={copied}")
    assert answer.code == 0, answer.err
    assert {**scores(moved), "run": None} == {**before, "run": None}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["split=tset"], "split=tset: must be train, val, test or null"),
        (["checkpoint=absent.ckpt"], "absent.ckpt"),
        (["checkpoint=text.ckpt"], "text.ckpt"),
        (["data.root=elsewhere"], "elsewhere"),
        (["model=resnet18"], "makes no sense with run="),
        (["data=synthetic_idd"], "was made on image_folder"),
    ],
)
def test_wrong_requests_leave_the_old_evaluation(run_command, run, tmp_path, typed, message):
    (tmp_path / "text.ckpt").write_text("hello")
    before = files_below(run)
    answer = run_command("evaluate", f"run={run}", *typed)
    assert answer.code == 2, answer.err
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert files_below(run) == before


def test_a_model_that_says_nan_keeps_the_old_evaluation(run_command, run):
    before = {name: (run / name).read_bytes() for name in files_below(run)}
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"][next(reversed(content["state_dict"]))][:] = torch.nan
    torch.save(content, run.parent / "broken.ckpt")
    answer = run_command("evaluate", f"run={run}", f"checkpoint={run.parent / 'broken.ckpt'}")
    assert answer.code == 1
    assert "are not finite, so that no class can be predicted. 1 of " in answer.err
    assert "Traceback" not in answer.err
    assert {name: (run / name).read_bytes() for name in files_below(run)} == before


def test_samples_that_are_gone_are_named(run_command, run, tmp_path):
    other = make_image_folder(tmp_path / "fewer", per_class=6)
    answer = run_command("evaluate", f"run={run}", f"data.root={other}")
    assert answer.code == 2
    assert "_011.png" in answer.err or "_006.png" in answer.err


def test_no_run_is_named(run_command):
    answer = run_command("evaluate")
    assert answer.code == 2
    assert "run is missing" in answer.err


@pytest.mark.parametrize("asked", ["best", "path"])
def test_a_wrong_bit_in_a_weight_is_noticed(run_command, run, asked):
    path = run / "checkpoints/best.ckpt"
    with zipfile.ZipFile(path) as archive:
        place = max(archive.infolist(), key=lambda record: record.file_size)
    data = bytearray(path.read_bytes())
    data[place.header_offset + place.file_size // 2] ^= 64
    path.unlink()  # it may be last.ckpt too
    path.write_bytes(data)
    before = (run / "evaluation/test/scores.json").read_bytes()
    answer = run_command("evaluate", f"run={run}", f"checkpoint={asked if asked == 'best' else path}")
    assert answer.code == 2
    assert f"{path} is damaged (the checksum of" in answer.err
    assert (run / "evaluation/test/scores.json").read_bytes() == before
    assert run_command("evaluate", f"run={run}", "checkpoint=last").code == 0


def test_no_resume_clears_away_what_an_evaluation_is_writing(run_command, run, monkeypatch):
    seen = []

    def interrupt(*_):
        with pytest.raises(RunFolderError, match="a process is at work"), RunFolder(run).in_use(alone=True):
            pass
        seen.append(True)

    monkeypatch.setattr("run_folder.LEAVING_SECONDS", 0)
    monkeypatch.setattr("entry.trained.launch", interrupt)
    assert run_command("evaluate", f"run={run}").code == 0
    assert seen == [True]
