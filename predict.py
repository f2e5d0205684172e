"""Predict pictures with a trained model: python predict.py run=RUN_FOLDER source=IMAGE_OR_FOLDER."""

from entry.cli.command import Request, door


@door("predict")
def predict(request: Request) -> None:
    """Load the run's checkpoint, say what each picture shows, as a class or as a mask, and name those that cannot be read."""
    from entry.config.resolve import of_run

    folder, config = of_run(request)

    from entry import prediction

    pictures = prediction.pictures(request)
    target, unreadable = prediction.predict(request, folder, config, pictures)
    print(target, flush=True)
    prediction.complain(unreadable, len(pictures))


if __name__ == "__main__":
    predict()
