import json
import os
import signal

import pytest

from callbacks.pruning import RunPruned
from datamodules.errors import DatasetError, UnreadableError
from entry.errors import RunStopped
from entry.run import batch_job, session
from run_folder import Status


def outcome(path, error=None, sent=None):
    """Run something that ends with an error or a signal; status.json while it runs and after."""
    during = {}

    def body() -> None:
        with session(Status(path)):
            during.update(json.loads(path.read_text()))
            if sent is not None:
                os.kill(os.getpid(), sent)
            if error is not None:
                raise error

    if error is None and sent is None:
        body()
    else:
        with pytest.raises(
            UnreadableError if isinstance(error, DatasetError) else type(error) if error else RunStopped
        ):
            body()
    after = json.loads(path.read_text())
    return during["state"], after["state"], after["exit_code"], after["error"]


@pytest.mark.parametrize(
    ("error", "sent", "state", "code", "message"),
    [
        (None, None, "finished", 0, None),
        (ValueError("broken"), None, "failed", 1, "ValueError: broken"),
        (DatasetError("no images"), None, "failed", 1, "UnreadableError: no images"),  # there were some before
        (RunPruned("Pruned after epoch 3."), None, "pruned", 0, "Pruned after epoch 3."),
        (None, signal.SIGTERM, "stopped", 143, "stopped by SIGTERM"),
        (None, signal.SIGINT, "stopped", 130, "stopped by SIGINT"),
    ],
)
def test_status_is_true_during_and_after(tmp_path, error, sent, state, code, message):
    assert outcome(tmp_path / "status.json", error, sent) == ("running", state, code, message)


@pytest.mark.parametrize(
    ("variables", "facts"),
    [
        ({}, {}),
        ({"SLURM_JOB_ID": "41"}, {"slurm_job": "41", "requeues": 0}),
        ({"SLURM_JOB_ID": "41", "SLURM_RESTART_COUNT": "3"}, {"slurm_job": "41", "requeues": 3}),
    ],
)
def test_the_slurm_job_of_a_run_and_how_often_it_was_requeued(monkeypatch, variables, facts):
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert batch_job() == facts
