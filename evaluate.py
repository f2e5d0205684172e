"""Evaluate a run's checkpoint on a split, or what was not trained here: python evaluate.py run=RUN_FOLDER split=val."""

from entry.cli.command import command
from entry.request import Request
from settings.run import SweepKey


@command("evaluate")
def evaluate(request: Request) -> None:
    """Read the run's configuration and split, load its checkpoint, count the split once, write the scores."""
    from entry.config import external as requested

    # What makes no sense is refused before torch is imported, which takes seconds.
    kind = requested.external_kind(request)
    if kind is not None:
        readers = {
            "predictions": requested.settings_of_predictions,
            "onnx": requested.settings_of_onnx,
            "weights": requested.settings_of_weights,
        }
        settings = readers[kind](request)
        from entry.external import evaluate_predictions, evaluate_weights

        (evaluate_predictions if kind == "predictions" else evaluate_weights)(request, settings)
        return

    if (sweep := request.of(SweepKey).sweep) is not None:
        from entry.winner import evaluate_winner

        evaluate_winner(request, sweep)
        return

    from entry.config.run_config import of_run

    folder, settings = of_run(request)
    from entry.evaluation.summary import print_ignored, print_summary
    from entry.trained import evaluate_trained

    print_ignored(request)
    print_summary(folder, evaluate_trained(request, folder, settings))


if __name__ == "__main__":
    evaluate()
