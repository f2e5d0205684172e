"""Train a model: python train.py model=resnet18 aug=flip_rotate."""

from entry.door import Request, door


@door("train")
def train(request: Request) -> None:
    """Compose, check and build; train; then evaluate the best checkpoint on the split that nobody has looked at."""
    from entry.request import resolved

    config = resolved(request)

    from datamodules.base import ImageDataModule
    from entry import announce, build, hardware, loggers, writing
    from entry.session import session
    from lightning_modules.supervised import SupervisedModule

    machine = hardware.choose(config["trainer"])
    datamodule: ImageDataModule = build.build_datamodule(config)
    datamodule.prepare()
    module: SupervisedModule
    module, weights = build.build_module(
        config, datamodule.label_space, config["model"]["weights"], datamodule.class_counts("train")
    )
    build.check_batches(module, datamodule)

    folder = writing.claim(request, config)
    logger = loggers.open_logger(config, folder)
    with session(folder.status_file(), lambda code: loggers.close_logger(logger, code)) as stopper:
        writing.write_start(folder, datamodule, weights, machine, logger)
        announce.announce(config, datamodule, module.network, weights, machine)
        trainer = build.build_trainer(config, machine, folder, headline=module.headline, logger=logger, stopper=stopper)
        trainer.fit(module, datamodule=datamodule)
        scores = writing.evaluate_into(folder, config, machine, module, datamodule, checkpoint="best", split="test")
    announce.conclude(scores, folder.path)


if __name__ == "__main__":
    train()
