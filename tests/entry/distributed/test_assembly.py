"""What a job needs in another process than the one that was asked for it."""

from pathlib import Path

import pytest

from entry.config.resolve import resolved
from entry.distributed import assembly
from entry.job import Job
from run_folder import RunFolder, write_json
from tests.entry.config.test_resolve import request


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim(resolved(request(tmp_path, "seed=5")).to_yaml(), [])
    write_json(folder.environment, {"weights": {"used": "imagenet"}})
    return str(folder.path)


@pytest.fixture
def built(monkeypatch):
    """The name and the further arguments of what was called to build a run; all of them get the folder and its settings."""
    calls = []

    def record(name):
        def call(folder, settings, *rest):
            assert settings.seed == 5
            calls.append((name, *rest))

        monkeypatch.setattr(assembly, name, call)

    for name in ("assemble", "assemble_trained", "assemble_external"):
        record(name)
    return calls


@pytest.mark.parametrize(
    ("kind", "keys", "call"),
    [
        ("train", {}, ("assemble", "imagenet", None, ("tests",))),  # the weights that were found, not those that were asked for
        ("train", {"resume_from": "/a/last.ckpt"}, ("assemble", "none", Path("/a/last.ckpt"), ("tests",))),
        ("evaluate", {"checkpoint": "last", "split": "val"}, ("assemble_trained", "last", "val", ("tests",))),
        ("external", {"split": "val"}, ("assemble_external", "val", ("tests",))),
    ],
)  # fmt: skip
def test_each_kind_of_job_is_built_from_its_folder(folder, built, kind, keys, call):
    assembly.assembled(Job(kind, folder, allow=("tests",), **keys))
    assert built == [call]
