"""Train a model: python train.py model=resnet18 aug=flip_rotate."""

from entry.cli.command import Request, command


@command("train")
def train(request: Request) -> None:
    """Compose, check and build; train; then evaluate the best checkpoint on the split that is reported."""
    from entry import console, resume
    from entry.distributed.launch import launch
    from entry.job import Job
    from entry.run import opened, session

    if resume.is_finished(request):
        console.nothing_to_do(resume.folder_of(request), resume.evaluated_otherwise(request))
        return
    ready = resume.reopened(request) if request.keys.resume else opened(request)
    with ready as run, session(run.folder.status_file()) as signal:
        console.announce(run)
        launch(Job.training(run), run, signal)
    console.conclude(run.folder, run.datamodule.closing_split)


if __name__ == "__main__":
    train()
