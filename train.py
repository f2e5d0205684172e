"""Train a model: python train.py model=resnet18 aug=flip_rotate."""

from entry.cli.command import Request, door


@door("train")
def train(request: Request) -> None:
    """Compose, check and build; train; then evaluate the best checkpoint on the split that is reported."""
    from datamodules.base import ImageDataModule
    from entry import console, resume
    from entry.distributed.launch import launch
    from entry.job import Job
    from entry.run import opened
    from entry.session import session
    from lightning_modules.supervised import SupervisedModule

    if resume.is_finished(request):
        console.nothing_to_do(resume.folder_of(request), resume.evaluated_otherwise(request))
        return
    with resume.reopened(request) if request.config.resume else opened(request) as run:
        datamodule: ImageDataModule = run.datamodule
        module: SupervisedModule = run.module
        with session(run.folder.status_file()) as signal:
            console.announce(run.config, datamodule, module.network, run.weights, run.machine)
            launch(Job.training(run), run, signal)
    console.conclude(run.folder, datamodule.closing_split)


if __name__ == "__main__":
    train()
