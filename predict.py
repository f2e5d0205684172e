"""Label pictures with a trained model: python predict.py run=RUN_FOLDER source=IMAGE_OR_FOLDER."""

from entry.door import Request, door


@door("predict")
def predict(request: Request) -> None:
    """Load the run's checkpoint, say a class for each picture and how sure, and name the pictures that cannot be read."""
    from entry.request import of_run

    folder, config = of_run(request)

    from entry import prediction

    pictures = prediction.pictures(request)
    table, unreadable = prediction.label(folder, config, str(request.config.checkpoint), pictures)
    target = prediction.write(request, table)
    print(target, flush=True)
    prediction.complain(unreadable, len(pictures))


if __name__ == "__main__":
    predict()
