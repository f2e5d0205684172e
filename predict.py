"""Predict images with a trained model: python predict.py run=RUN_FOLDER source=IMAGE_OR_FOLDER."""

from entry.cli.command import command
from entry.request import Request


@command("predict")
def predict(request: Request) -> None:
    """Load the run's checkpoint, predict a class or a mask for each image, and name those that cannot be read."""
    from entry.config.run_config import of_run

    folder, settings = of_run(request)
    from entry import prediction

    images = prediction.pictures(request)
    target, unreadable = prediction.predict(request, folder, settings, images)
    print(target, flush=True)
    prediction.check_complete(unreadable, len(images))


if __name__ == "__main__":
    predict()
