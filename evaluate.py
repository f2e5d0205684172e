"""Evaluate a run's checkpoint on a split, or what was not trained here: python evaluate.py run=RUN_FOLDER split=val."""

from entry.cli.command import command
from entry.request import Request


@command("evaluate")
def evaluate(request: Request) -> None:
    """Read the run's configuration and split, load its checkpoint, count the split once, write the scores."""
    from entry.config import external as requested

    # What makes no sense is refused before torch is imported, which takes seconds.
    kind = requested.external_kind(request)
    if kind is not None:
        read = requested.settings_of_predictions if kind == "predictions" else requested.settings_of_weights
        settings = read(request)
        from entry.external import evaluate_predictions, evaluate_weights

        (evaluate_predictions if kind == "predictions" else evaluate_weights)(request, settings)
        return

    from entry.config.run_config import of_run

    folder, settings = of_run(request)
    from callbacks.signals import StopSignal
    from entry.evaluation.assemble import assemble_trained
    from entry.evaluation.summary import print_differences, print_ignored, print_summary
    from entry.job import Job
    from entry.launch import launch

    # Refused here, before any rank has started.
    run = assemble_trained(folder, settings, request.keys.checkpoint, request.keys.split, request.allow)
    assert run.checkpoint is not None
    checkpoint, split = str(run.checkpoint.path), run.datamodule.test_split
    print_ignored(request)
    print_differences(run)
    job = Job("evaluate", str(folder.path), settings.to_dict(), None, checkpoint, split, request.allow)
    signal = StopSignal()
    with folder.in_use(), signal.listening():
        launch(job, run, signal)
    print_summary(folder, split)


if __name__ == "__main__":
    evaluate()
