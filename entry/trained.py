"""Evaluating a checkpoint of a run on one of its splits."""

from callbacks.signals import StopSignal
from entry.evaluation.assemble import assemble_trained
from entry.evaluation.summary import print_differences
from entry.job import Job
from entry.launch import launch
from entry.request import Request
from run_folder import RunFolder
from settings.run import RunSettings


def evaluate_trained(request: Request, folder: RunFolder, settings: RunSettings) -> str:
    """Count the split that was typed, or the one that is reported, and write its scores. Returns the split."""
    # Refused here, before any rank has started.
    run = assemble_trained(folder, settings, request.keys.checkpoint, request.keys.split, request.allow)
    assert run.checkpoint is not None
    checkpoint, split = str(run.checkpoint.path), run.datamodule.test_split
    print_differences(run)
    job = Job("evaluate", str(folder.path), settings.to_dict(), None, checkpoint, split, request.allow)
    signal = StopSignal()
    with folder.in_use(), signal.listening():
        launch(job, run, signal)
    return split
