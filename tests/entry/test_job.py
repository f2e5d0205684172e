"""A job as plain data, the settings that it is done with, and who writes."""

from types import SimpleNamespace

import pytest
import torch.distributed as dist

from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.job import Job, is_first
from run_folder import RunFolder
from settings.errors import SettingsError
from tests.entry.config.test_resolve import request


@pytest.fixture
def folder(tmp_path):
    """A run folder that holds a configuration."""
    folder = RunFolder(tmp_path / "run")
    folder.claim(resolved(request(tmp_path, "seed=5")).to_yaml(), [])
    return folder


def test_a_job_is_the_same_after_it_was_sent_as_text():
    job = Job("evaluate", "/runs/one", {"seed": 3}, checkpoint="last", split="val", allow=("mine",))
    assert Job.from_json(job.to_json()) == job
    assert Job.from_json(job.to_json()).allow == ("mine",)  # a tuple again


@pytest.mark.parametrize("resume_from", [None, "/runs/one/checkpoints/last.ckpt"])
def test_a_training_ends_with_the_reported_split_of_the_best_checkpoint(tmp_path, resume_from):
    run = SimpleNamespace(resume_from=resume_from, folder=RunFolder(tmp_path), allow=("mine",))
    job = Job.training(run)
    assert (job.kind, job.folder, job.resume_from, job.allow) == ("train", str(tmp_path), resume_from, ("mine",))
    assert (job.checkpoint, job.split, job.overridden) == ("best", None, None)


def test_settings_are_those_of_the_folder_unless_others_are_sent(folder, tmp_path):
    assert Job("train", str(folder.path)).settings().seed == 5
    changed = {**resolved(request(tmp_path, "seed=7")).to_dict()}
    assert Job("evaluate", str(folder.path), changed).settings().seed == 7
    with pytest.raises(SettingsError, match="seed=-1"):
        Job("evaluate", str(folder.path), {**changed, "seed": -1}).settings()


def test_settings_that_are_sent_may_name_only_what_is_allowed(folder, tmp_path):
    changed = resolved(request(tmp_path)).to_dict()
    changed["optimizer"]["_target_"] = "os.system"
    with pytest.raises(RequestError, match=r"os\.system"):
        Job("train", str(folder.path), changed).settings()


@pytest.mark.parametrize(
    ("initialised", "rank", "first"), [(False, 0, True), (True, 0, True), (True, 1, False), (True, 3, False)]
)
def test_only_the_first_rank_writes(monkeypatch, initialised, rank, first):
    monkeypatch.setattr(dist, "is_initialized", lambda: initialised)
    monkeypatch.setattr(dist, "get_rank", lambda: rank)
    assert is_first() == first
