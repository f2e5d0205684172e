"""Evaluate a run's checkpoint on a split: python evaluate.py run=RUN_FOLDER split=val."""

from entry.door import Request, RequestError, door


@door("evaluate")
def evaluate(request: Request) -> None:
    """Read the run's configuration and split, load its checkpoint, count the split once, write the scores."""
    from entry.request import of_run

    folder, config = of_run(request)
    split = str(request.config.split)
    if split not in ("train", "val", "test"):
        raise RequestError(f"split={split}: must be train, val or test.")

    from datamodules.base import ImageDataModule
    from entry import announce, build, hardware, writing

    machine = hardware.choose(config["trainer"])
    config["data"]["split"] = str(folder.split)  # the run's own, never computed a second time
    datamodule: ImageDataModule = build.build_datamodule(config)
    datamodule.prepare()
    module, _ = build.build_module(config, datamodule.label_space, weights="none")
    scores = writing.evaluate_into(
        folder, config, machine, module, datamodule, checkpoint=str(request.config.checkpoint), split=split
    )
    announce.conclude(scores, folder.path)


if __name__ == "__main__":
    evaluate()
