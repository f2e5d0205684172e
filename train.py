"""Train a model: python train.py model=resnet18 aug=flip_rotate."""

from entry.cli.command import Request, command


@command("train")
def train(request: Request) -> None:
    """Compose, check and build; train; then evaluate the best checkpoint on the split that is reported."""
    from entry import console, resume
    from entry.evaluation.summary import print_summary
    from entry.job import Job
    from entry.launch import launch
    from entry.run import opened

    if request.keys.resume and resume.is_finished(request):
        resume.print_finished(request)
        return
    ready = resume.reopened(request) if request.keys.resume else opened(request)
    with ready as (run, signal):
        console.announce(run)
        launch(Job.training(run), run, signal)
    print_summary(run.folder, run.datamodule.closing_split)


if __name__ == "__main__":
    train()
