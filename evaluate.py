"""Evaluate a run's checkpoint on a split, or what was not trained here: python evaluate.py run=RUN_FOLDER split=val."""

from entry.cli.command import Request, command


@command("evaluate")
def evaluate(request: Request) -> None:
    """Read the run's configuration and split, load its checkpoint, count the split once, write the scores."""
    from entry.request import external_kind

    kind = external_kind(request)
    if kind is not None:
        from entry.external import evaluate_predictions, evaluate_weights

        (evaluate_predictions if kind == "predictions" else evaluate_weights)(request)
        return

    from callbacks.signals import StopSignal
    from entry import console
    from entry.config.run_config import of_run
    from entry.evaluation.checkpoint import find_checkpoint, load
    from entry.evaluation.summary import print_summary
    from entry.job import Job
    from entry.launch import launch
    from entry.run import assemble

    folder, settings = of_run(request)
    wanted = request.keys.split
    run = assemble(folder, settings, weights="none", training=False, test_split=wanted, allow=request.allow)
    split = wanted or run.datamodule.closing_split
    checkpoint = find_checkpoint(folder, request.keys.checkpoint)
    load(run.module, checkpoint)  # refused here, before any rank has started
    console.ignored(request)
    job = Job(
        "evaluate",
        str(folder.path),
        settings.to_dict(),
        checkpoint=str(checkpoint.path),
        split=split,
        allow=request.allow,
    )
    signal = StopSignal()
    with folder.in_use(), signal.listening():
        launch(job, run, signal)
    print_summary(folder, split)


if __name__ == "__main__":
    evaluate()
