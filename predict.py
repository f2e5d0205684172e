"""Predict images and videos with a trained model: python predict.py run=RUN_FOLDER source=IMAGE_OR_FOLDER."""

from entry.cli.command import command
from entry.request import Request


@command("predict")
def predict(request: Request) -> None:
    """Load the run's checkpoint, predict a class or a mask for each image or frame, and name what cannot be read."""
    from entry.config.run_config import of_run

    folder, settings = of_run(request)
    from entry import prediction

    images = prediction.pictures(request)
    target, unreadable, partly = prediction.predict(request, folder, settings, images)
    print(target, flush=True)
    prediction.check_complete(unreadable, len(images), partly)


if __name__ == "__main__":
    predict()
