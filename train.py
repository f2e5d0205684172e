"""Train a model: python train.py model=resnet18 aug=flip_rotate."""

from entry.door import Request, door


@door("train")
def train(request: Request) -> None:
    """Compose, check and build; train; then evaluate the best checkpoint on the split that is reported."""
    from datamodules.base import ImageDataModule
    from entry import announce, resuming, runs
    from entry.launching import launch
    from entry.session import session
    from entry.work import Job
    from lightning_modules.supervised import SupervisedModule

    if resuming.is_finished(request):
        announce.nothing_to_do(resuming.folder_of(request), resuming.evaluated_otherwise(request))
        return
    with resuming.reopened(request) if request.config.resume else runs.opened(request) as run:
        datamodule: ImageDataModule = run.datamodule
        module: SupervisedModule = run.module
        with session(run.folder.status_file()) as signal:
            announce.announce(run.config, datamodule, module.network, run.weights, run.machine)
            launch(Job.training(run), run, signal)
    announce.conclude(run.folder, datamodule.closing_split)


if __name__ == "__main__":
    train()
