"""What may change when a run is resumed; what a resumed run then computes is in tests/entry/test_resume.py."""

import json

import pytest

from entry.config.changes import to_resume
from entry.config.resolve import resolved
from entry.errors import RequestError
from run_folder import RunFolder
from settings.changes import changes
from tests.entry.config.test_resolve import request


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "one")
    folder.claim(resolved(request(tmp_path, "data=image_folder", f"data.root={tmp_path}")).to_yaml(), [])
    return folder


def resumption(tmp_path, run, *typed):
    return to_resume(request(tmp_path, f"resume={run.path}", *typed))


@pytest.mark.parametrize(
    "typed",
    [
        "trainer.threads=3", "trainer.accelerator=cpu", "trainer.deterministic=true", "trainer.channels_last=false", "data.eval_batch_size=7",
        "trainer.find_unused_parameters=true", "trainer.gradient_checkpointing=true", "trainer.compile=true", "trainer.progress=false", "trainer.max_epochs=20", "checkpointing.keep=2", "data.num_workers=1",
        "logger=[csv,tensorboard]", "logger=csv", "~logger", "evaluation.flip=true",
    ],
)  # fmt: skip
def test_what_may_change(tmp_path, run, typed):
    found = resumption(tmp_path, run, typed)
    assert found.changes
    assert tuple(changes(found.before, found.settings)) == found.changes


@pytest.mark.parametrize(
    "typed",
    [
        "trainer.precision=64-true",
        "trainer.devices=2",
        "trainer.accumulate=2",
        "seed=3",
        "loss.label_smoothing=0.1",
        "aug=road",
    ],
)
def test_what_would_make_another_run(tmp_path, run, typed):
    with pytest.raises(
        RequestError, match=r"^resume=.*would make the rest of it another run.*resume_with_changes=true"
    ):
        resumption(tmp_path, run, typed)
    assert resumption(tmp_path, run, typed, "resume_with_changes=true").changes


def test_a_finished_run_need_not_be_the_same(tmp_path, run):
    run.status.write_text(json.dumps({"state": "finished"}))
    assert resumption(tmp_path, run, "seed=3").is_finished
    assert not resumption(tmp_path, run, "trainer.max_epochs=99").is_finished


def test_a_wrong_path_is_answered_under_its_own_key(tmp_path, run):
    with pytest.raises(
        RequestError, match=rf"^resume={tmp_path}/runs/won: there is no such folder\. Did you mean resume={run.path}\?"
    ):
        to_resume(request(tmp_path, f"resume={tmp_path}/runs/won"))


def test_without_a_logger_is_a_change_like_another(tmp_path, run):
    assert resumption(tmp_path, run, "~logger").settings.logger.name == "csv"
    with pytest.raises(
        RequestError, match=r"~optimizer\.lr: with run= and resume=, keys can be replaced, not added or deleted"
    ):
        resumption(tmp_path, run, "~optimizer.lr")
