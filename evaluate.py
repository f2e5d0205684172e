"""Evaluate a run's checkpoint on a split, or what was not trained here: python evaluate.py run=RUN_FOLDER split=val."""

from entry.cli.command import Request, RequestError, door


@door("evaluate")
def evaluate(request: Request) -> None:
    """Read the run's configuration and split, load its checkpoint, count the split once, write the scores."""
    from entry.config.resolve import foreign, of_run

    elsewhere = foreign(request)
    if request.config.split not in (None, "train", "val", "test"):
        raise RequestError(f"split={request.config.split}: must be train, val or test.")
    if elsewhere is not None:
        from entry.external import evaluate_predictions, evaluate_weights

        (evaluate_predictions if elsewhere == "predictions" else evaluate_weights)(request)
        return
    folder, config = of_run(request)

    from callbacks.signals import StopSignal
    from entry import console
    from entry.distributed.launch import launch
    from entry.evaluation.checkpoint import find_checkpoint, load
    from entry.job import Job
    from entry.run import assemble

    run = assemble(folder, config, weights="none", training=False, test_split=request.config.split)
    split = str(request.config.split or run.datamodule.closing_split)
    checkpoint = find_checkpoint(folder, str(request.config.checkpoint))
    load(run.module, checkpoint)  # refused here, before any rank has started
    console.without_a_say(request)
    signal = StopSignal()
    with folder.in_use(), signal.listening():
        launch(Job("evaluate", str(folder.path), config, checkpoint=str(checkpoint.path), split=split), run, signal)
    console.conclude(folder, split)


if __name__ == "__main__":
    evaluate()
